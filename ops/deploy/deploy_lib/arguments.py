"""The command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploy_lib.relays import DEFAULT_HEALTH, DEFAULT_RESTART

USAGE = """\
Builds a wheel of this checkout, installs it on a host beside what runs there, switches to it,
restarts the relays, and waits until every one says in /health that it is the release that was
installed, and is well. When one doesn't, goes back to what ran before.

On the host, below ROOT:
  releases/NAME/   a virtual environment for each release; NAME is its time, version and commit
  current          a link to the one that runs: units start ROOT/current/bin/twistd
  previous         a link to the one before, for `rollback`
"""
EXAMPLES = """\
examples:
  deploy --host deploy@relay.example.com --dry-run
  deploy --host deploy@relay.example.com --restart 'sudo systemctl restart apptuner-relay'
  deploy --host deploy@relay.example.com rollback
  two relays on one machine, one after the other:
  deploy --host deploy@relay.example.com \\
    --restart 'sudo systemctl restart apptuner-relay@3001' --health http://127.0.0.1:3001/health \\
    --restart 'sudo systemctl restart apptuner-relay@3002' --health http://127.0.0.1:3002/health

exit status: 0 it is live: every relay runs it; 1 it was not deployed, and what ran before runs (or
was not touched); 2 wrong usage; 3 neither the new release nor the old one is well: look at the
host; 4 mixed: some relays run this release, and some another
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; leaves with 2 where that can't be."""
    parser = argparse.ArgumentParser(
        prog="deploy",
        description=USAGE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "action",
        nargs="?",
        default="deploy",
        choices=("deploy", "rollback", "list"),
        help="deploy (if nothing is said); rollback to the previous release; list the releases",
    )
    add(
        "--host",
        required=True,
        metavar="[USER@]HOST|DIRECTORY",
        help="where to: over SSH; or, with a slash in it, a directory of this machine",
    )
    add("--root", help="the folder there (default: /opt/apptuner-relay, or the directory)")
    add("--ssh", default="ssh", metavar="COMMAND", help="ssh, with options of yours")
    add(
        "--restart",
        action="append",
        metavar="COMMAND",
        help=f"restarts the relay (default: {DEFAULT_RESTART}); repeat it, with as many --health, "
        "to restart one relay after the other",
    )
    add(
        "--health",
        action="append",
        metavar="URL",
        help="a relay's /health, as seen from the host; give it once for each relay of the host "
        f"(default: {DEFAULT_HEALTH})",
    )
    add(
        "--health-timeout",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how long a relay may take to be live; the one before may drain meanwhile "
        "(default: 60)",
    )
    add(
        "--no-rollback",
        action="store_true",
        help="where a relay does not become live, leave all as they are, to be looked at",
    )
    add("--python", default="python3", help="the host's Python, 3.11 or newer (default: python3)")
    add("--extras", default="redis", help="what to install beside the relay (default: redis)")
    add(
        "--pip-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="for the pip install on the host, such as --pip-option=--index-url=…",
    )
    add("--wheel", type=Path, metavar="FILE", help="deploy this one instead of building it")
    add("--keep", type=int, default=5, metavar="N", help="releases to keep (default: 5)")
    add("--dry-run", action="store_true", help="say what would be done, and change nothing")
    options = parser.parse_args(arguments)
    restarts, urls = options.restart or [], options.health or []
    if len(restarts) > 1 and len(restarts) != len(urls):
        parser.error(f"{len(restarts)} --restart need as many --health, not {len(urls)}")
    if options.keep < 2:
        parser.error("--keep must be 2 or more: what runs, and what to go back to")
    if options.wheel is not None and not options.wheel.is_file():
        parser.error(f"--wheel: there is no file {options.wheel}")
    if options.host.startswith("-"):
        parser.error("--host: a host can't begin with a dash")
    return options
