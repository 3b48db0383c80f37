"""`nodes`: the relays that share their sessions, as one of them sees them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client.command import (
    Command,
    add_quiet_argument,
    add_relay_argument,
)
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.records import Cluster, Node, Relays, read_relays
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.sources import Inquiry, add_token_argument, ask_for
from apptuner_relay.support.units import show_duration

NODES_PATH = "/api/nodes"

_TITLES = ("relay", "address", "sessions", "connections", "version", "up for", "")
_LEFT = (0, 1, 4, 6)


def show(relays: Relays, screen: Screen) -> Exit:
    """Print them; what is wrong goes to standard error."""
    screen.result(**asdict(relays))
    cluster = relays.cluster
    if cluster is None:
        screen.complain(f"{relays.node} is alone: it runs without --redis")
        return Exit.FAILED
    screen.tell_table(_TITLES, [_row(one, relays.node) for one in cluster.nodes], left=_LEFT)
    screen.tell_folded(_summary(relays, cluster))
    if cluster.redis == "connected":
        return Exit.DONE
    for_s = "" if cluster.redis_away_s is None else f" for {show_duration(cluster.redis_away_s)}"
    screen.complain(
        f"Redis has been unreachable{for_s}: these are the relays that {relays.node} saw last"
    )
    return Exit.FAILED


def _row(node: Node, asked: str) -> tuple[str, ...]:
    said = ["asked"] if node.node == asked else []
    if node.draining:
        said.append("draining")
    return (
        node.node,
        node.address,
        f"{node.sessions:,}",
        f"{node.connections:,}",
        node.version,
        show_duration(node.uptime_s),
        ", ".join(said),
    )


def _summary(relays: Relays, cluster: Cluster) -> str:
    share = ""
    if relays.connections:
        share = f" ({cluster.bridged / relays.connections:.0%})"
    claims = ""
    if cluster.claims in ("away", "refused"):
        why = "" if cluster.claims_refusal is None else f" ({cluster.claims_refusal})"
        claims = f" Claims: {cluster.claims}{why}, known to each relay as far as it has seen them."
    return (
        f"Clients of {relays.node}: {relays.connections:,}, bridged to other relays: "
        f"{cluster.bridged:,}{share}. In its sessions, of other relays: {cluster.visitors:,}. "
        f"Redis: {cluster.redis}.{claims}"
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_relay_argument(parser)
    add_token_argument(parser)
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    asked: Deferred[Relays] = Deferred.fromCoroutine(
        ask_for(NODES_PATH, read_relays, arguments.relay, arguments.admin_token, reactor, screen)
    )
    return Inquiry(asked, lambda relays: show(relays, screen), screen)


COMMAND = Command(
    "nodes",
    "Asks a running relay for those that share sessions with it (--redis), and how many of its\n"
    "clients are bridged to them. A relay's sessions are those that it owns, with those of which\n"
    "it only keeps a bundle. Ends with 1 when the relay is alone, or does not reach Redis.",
    _add_arguments,
    _start,
    json_help="print one line of JSON with exact figures",
)
