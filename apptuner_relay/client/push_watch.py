"""`push --watch`: every save of a file goes to the phones. The command line; how saves go is in
`save_pushing`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client.file_watch import FileWatch
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.no_phone_hint import hint_for
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.push_options import POLL_SECONDS
from apptuner_relay.client.save_parcels import SaveMessages, SaveParcels, SaveUploads
from apptuner_relay.client.save_pushing import SavePush
from apptuner_relay.client.saved_file import Look, NotAFileError, Save, read_bytes
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.way import make_factory

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0


class WatchedPush:
    """A run of it."""

    def __init__(self, membership: Membership, push: SavePush, watch: FileWatch) -> None:
        self.done: Deferred[Exit] = membership.done
        self._membership = membership
        self._push = push
        self._watch = watch

    def start(self) -> None:
        """Begin to watch, and connect."""
        self._watch.start()
        self._membership.start(self._push)
        self.done.addBoth(self._tidied)

    def leave(self, code: Exit) -> None:
        """See `CommandRun`. Ctrl-C is how this ends when all is well."""
        self._watch.stop()
        self._membership.leave(Exit.DONE if code is Exit.INTERRUPTED else code)

    def _tidied(self, result: Exit) -> Exit:
        self._watch.stop()
        self._push.tidy()
        return result


def start_watch(
    arguments: argparse.Namespace,
    reactor: Any,
    screen: Screen,
    target: Target,
    heartbeat: ClientPings,
) -> WatchedPush:
    """Begin. Raises `UsageError`."""
    for name, value in {
        "--device": (arguments.device, "a bundle for one phone is not kept, so it has no patches"),
        "--source-map": (arguments.source_map, "a patch has the code only"),
        "--wait": (arguments.wait, "it stays whether phones are there or not"),
    }.items():
        if value[0] is not None:
            raise UsageError(f"{name} can't go with --watch: {value[1]}")
    if arguments.managed is not None and arguments.form is not None:
        raise UsageError("--single and --chunks can't go with --managed: the code is uploaded")
    seen, save = _first(arguments.bundle)
    factory = make_factory(arguments, reactor, target, heartbeat)
    patience = Patience(arguments.retries, FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, forgiving=True)
    membership = Membership(reactor, factory, patience, screen)
    parcels: SaveParcels
    if arguments.managed is None:
        parcels = SaveMessages(membership, arguments.form)
    else:
        parcels = SaveUploads(
            reactor, arguments.relay, arguments.session, arguments.key, patience, screen
        )
    hint = hint_for(arguments, reactor, screen)
    push = SavePush(arguments.bundle.name, arguments.timeout, parcels, reactor, screen, hint)
    watch = FileWatch(
        arguments.bundle,
        seen,
        POLL_SECONDS if arguments.poll is None else arguments.poll,
        push.saved,
        reactor,
        screen,
    )
    if save is not None:
        push.saved(save)
    run = WatchedPush(membership, push, watch)
    run.start()
    return run


def _first(path: Path) -> tuple[Look | None, Save | None]:
    """The file as it is now; nothing where somebody is just writing it. Raises `UsageError`."""
    try:
        found = read_bytes(path)
        if found is None or not found[1]:
            return None, None
        return found[0], Save.of(found[1])
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (at byte {error.start:,})") from None
    except NotAFileError:
        raise UsageError(f"{path} is no regular file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
