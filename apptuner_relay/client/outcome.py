"""How the program ends: exit codes, and the errors that lead straight to one.

Not here: when to end. Each command decides that for itself.
"""

from __future__ import annotations

from enum import IntEnum

PROGRAM = "apptuner-relay"


class Exit(IntEnum):
    """What a script sees. Documented in every `--help`; a number never changes its meaning."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_CONNECTION = 3
    NO_PHONE = 4
    NO_ACK = 5
    NO_BUNDLE = 6
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES_HELP = """\
exit codes:
  0    done
  1    a device reported failure, the relay reported an error, a bundle arrived damaged or could
       not be written, or there is no record
  2    usage: bad arguments, or a file that can't be read
  3    could not connect, or the connection was lost for good
  4    no phone joined in time
  5    no acknowledgement in time, or not all of them
  6    there is no such bundle
  130  interrupted (Ctrl-C), after a clean close; 0 for push --watch and top, which have no other
       end; 143 for SIGTERM
"""


class UsageError(Exception):
    """What the user asked for can't be done as asked; the text says why. Exit code 2."""
