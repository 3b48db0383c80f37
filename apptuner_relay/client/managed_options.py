"""The options of clients that meet in a managed service's channel."""

from __future__ import annotations

import argparse
import os

from apptuner_relay.client.command import checked
from apptuner_relay.config.managed_url import check_channel_prefix, parse_managed_url

MANAGED_VARIABLE = "APPTUNER_MANAGED"
DEFAULT_PREFIX = "apptuner"


def add_managed_arguments(parser: argparse.ArgumentParser) -> None:
    """`--managed`, and what belongs to it."""
    parser.add_argument(
        "--managed",
        metavar="URL",
        type=checked(parse_managed_url),
        default=os.environ.get(MANAGED_VARIABLE) or None,
        help="meet the session in its channel at a managed service, of which the relay has the "
        "same URL: pusher://KEY@HOST[:PORT]/APP_ID, pusher://KEY@pusher:CLUSTER/APP_ID, "
        "pusher://KEY@ably, or relay://KEY for the relay itself. The relay is still asked to let "
        "this client in, and has the bundles (default: $APPTUNER_MANAGED, or only the relay)",
    )
    parser.add_argument(
        "--managed-prefix",
        metavar="NAME",
        type=checked(check_channel_prefix),
        default=DEFAULT_PREFIX,
        help="with --managed: what the names of channels begin with, as the relay's option of this "
        f"name says (default: {DEFAULT_PREFIX})",
    )
