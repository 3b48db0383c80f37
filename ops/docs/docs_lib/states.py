# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/explanation/states.md: every table of states in the package, drawn from the table itself."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

PATH = "docs/explanation/states.md"


class Table(NamedTuple):
    """One table of states."""

    module: str
    """The module that has it, without the package; it has `TRANSITIONS`."""
    title: str
    owner: str
    """The module that acts on it, without the package."""
    starts: Sequence[str]
    """The names of the states that it may begin in."""


TABLES = (
    Table(
        "edge.closing_states",
        "A WebSocket connection that closes",
        "edge.websocket",
        ["CONNECTING"],
    ),
    Table(
        "edge.prefix_states",
        "A connection before HTTP begins on it",
        "edge.prefixes",
        ["PROXY_HEADER", "FIRST_BYTE"],
    ),
    Table(
        "relay.halting_states",
        "A member whose session is about to move",
        "relay.member",
        ["READING"],
    ),
    Table("relay.drain_states", "A relay that drains without stopping", "relay.drain", ["SERVING"]),
    Table("relay.shutdown_states", "A relay that stops", "relay.shutdown", ["HAND_OVER"]),
    Table("flow.sink_states", "What goes out to one client: the sink", "flow.sink", ["READY"]),
    Table(
        "flow.follower_states",
        "One client's way through a log: the follower",
        "flow.follower",
        ["QUEUED", "HELD"],
    ),
    Table("flow.log_states", "A log", "flow.log", ["GROWING"]),
    Table("flow.storage_states", "Where a log is stored", "flow.log_storage", ["MEMORY", "KEPT"]),
    Table(
        "flow.transcoder_states",
        "A log in another form: the transcoder",
        "flow.transcoder",
        ["IDLE"],
    ),
    Table(
        "flow.series_states",
        "A bundle in several messages: the series",
        "flow.series",
        ["SINGLE", "UNANNOUNCED", "INCOMPLETE"],
    ),
    Table(
        "flow.reception_states",
        "What a phone has got of bundles: the reception",
        "flow.reception",
        ["WHOLE"],
    ),
    Table("spool.file_states", "A bundle's file", "spool.bundle_file", ["GROWING"]),
    Table(
        "operator.bundle_record_states",
        "What became of a bundle: the record",
        "operator.bundle_record",
        ["ARRIVING"],
    ),
    Table(
        "operator.bundle_phone_states",
        "What became of it at one phone",
        "operator.phone_record",
        ["WAITING"],
    ),
    Table("access.journal_states", "The file of claims", "access.journal", ["STARTING"]),
    Table("spool.outage_states", "The spool's disk", "spool.outage", ["STARTING"]),
    Table(
        "cluster.bridge.placement_states",
        "Where a client's session is: the placement",
        "cluster.bridge.remote_member",
        ["FINDING"],
    ),
    Table(
        "cluster.bridge.suspicion_states",
        "A relay that may have ended: the suspicion",
        "cluster.bridge.crash_detector",
        ["TRUSTED"],
    ),
    Table(
        "cluster.bridge.migration_states",
        "A session that migrates to another relay",
        "cluster.bridge.session_migration",
        ["QUEUED"],
    ),
    Table(
        "cluster.bridge.takeover_states",
        "A session that is taken over",
        "cluster.bridge.takeover",
        ["BEGINNING"],
    ),
    Table(
        "cluster.ownership.availability_states",
        "Redis, as a relay sees it: the availability",
        "cluster.ownership.availability",
        ["UNTRIED"],
    ),
    Table(
        "managed.service.service_states",
        "A connection to a managed service",
        "managed.service.service_connection",
        ["IDLE"],
    ),
    Table(
        "managed.service.subscription_states",
        "A subscription of a channel at a managed service",
        "managed.service.subscription",
        ["WANTED"],
    ),
    Table(
        "managed.service.publisher_states",
        "What publishes by a service's HTTP API",
        "managed.service.publisher",
        ["OPEN"],
    ),
    Table(
        "managed.gateway.mirrored_channel_states",
        "A channel of a managed service, in which the relay speaks for a session",
        "managed.gateway.mirrored_channel",
        ["JOINING"],
    ),
    Table(
        "managed.gateway.virtual_connection_states",
        "A client that is connected by way of such a channel",
        "managed.gateway.virtual_connection",
        ["ENTERING"],
    ),
    Table("web.channel_states", "An HTTP connection", "web.channel", ["HEAD"]),
    Table(
        "web.response_states",
        "A response that is sent block by block",
        "web.streaming",
        ["OPEN"],
    ),
    Table("web.exchange_states", "A request that is forwarded", "web.upstream", ["RECEIVING"]),
    Table("web.upload_states", "An upload over HTTP", "web.bundle_upload", ["CHECKING"]),
    Table(
        "relay.bundle_receipt_states",
        "The receipt for an upload's bundle",
        "relay.bundle_receipt",
        ["SENDING"],
    ),
    Table(
        "web.request_body_states",
        "The body of a request that is forwarded, or of an upload",
        "web.request_body",
        ["EMPTY"],
    ),
    Table(
        "web.response_body_states",
        "The body of an upstream's answer",
        "web.http_proxy",
        ["STREAMING"],
    ),
    Table(
        "operator.condition_states",
        "A condition that is watched",
        "operator.conditions",
        ["CLEAR"],
    ),
    Table(
        "operator.alert_queue_states",
        "The queue of alerts",
        "operator.alerts",
        ["IDLE"],
    ),
    Table(
        "client.save_states",
        "Saves that the companion program sends (push --watch)",
        "client.save_pushing",
        ["AWAY"],
    ),
)

INTRODUCTION = """\
# States

What a connection, a log, a bundle's file, a session that migrates or a shutdown may be in is an `Enum`, with one table of transitions, in a module of its own without I/O. The tests go through every pair of state and event. `ops/docs/run` makes this page from these tables: the pictures and the lists say what the code does.

An event that has no arrow from a state changes nothing there, unless the text says otherwise.
"""


def render() -> str:
    """The page."""
    toc = "\n".join(f"- [{one.title}](#{_anchor(one.title)})" for one in TABLES)
    return "\n".join([INTRODUCTION, toc, "", *(_section(one) for one in TABLES)])


def _section(table: Table) -> str:
    module = import_module(f"apptuner_relay.{table.module}")
    transitions: Mapping[tuple[Enum, Enum], Enum] = module.TRANSITIONS
    docs = member_docs(module)
    (state_type,) = {
        type(state) for pair, after in transitions.items() for state in (pair[0], after)
    }
    (event_type,) = {type(event) for _, event in transitions}
    note = _one_line(docs.get("TRANSITIONS", ""))
    parts = [
        f"## {table.title}\n",
        f"`{_path(table.module)}`, acted on by `{_path(table.owner)}`. {_subject(state_type)}".strip()
        + "\n",
        _diagram(transitions, table.starts),
        _list(state_type, docs, "state"),
        _list(event_type, docs, "event"),
    ]
    if note:
        parts.append(f"{note}\n")
    return "\n".join(parts)


def _diagram(transitions: Mapping[tuple[Enum, Enum], Enum], starts: Sequence[str]) -> str:
    """A stateDiagram of Mermaid: an arrow for each pair of states, with all its events."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in transitions.items():
        arrows.setdefault((state.name, after.name), []).append(event.name)
    before = {state for (state, _), after in transitions.items() if after is not state}
    ends = {after.name for after in transitions.values() if after not in before}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {name}" for name in starts]
    lines += [
        f"    {one} --> {other}: {', '.join(events)}" for (one, other), events in arrows.items()
    ]
    # In the order of the table, whatever a set's is.
    lines += [
        f"    {name} --> [*]"
        for name in dict.fromkeys(a.name for a in transitions.values())
        if name in ends
    ]
    return "\n".join([*lines, "```", ""])


def _list(kind: type[Enum], docs: Mapping[str, str], heading: str) -> str:
    rows = [f"| {heading} | {'when' if heading == 'event' else _meaning(kind)} |", "|---|---|"]
    for member in kind:
        text = docs.get(f"{kind.__name__}.{member.name}") or f"{str(member.value).capitalize()}."
        rows.append(f"| `{member.name}` | {_one_line(text)} |")
    return "\n".join(rows) + "\n"


def _meaning(kind: type[Enum]) -> str:
    """The heading of what the states mean: the first sentence of their class says it."""
    sentence = _one_line(inspect.getdoc(kind) or "").partition(".")[0]
    return sentence[:1].lower() + sentence[1:]


def _subject(kind: type[Enum]) -> str:
    """What the class of the states says behind its first sentence."""
    return _one_line(inspect.getdoc(kind) or "").partition(". ")[2]


def member_docs(module: ModuleType) -> dict[str, str]:
    """The strings below the members of a module's classes, by ``Class.MEMBER``; and below its
    constants, by name."""
    docs: dict[str, str] = {}
    tree = ast.parse(inspect.getsource(module))
    for prefix, body in [("", tree.body)] + [
        (f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)
    ]:
        for node, below in pairwise(body):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name = node.target.id
            else:
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                docs[prefix + name] = inspect.cleandoc(str(below.value.value))
    return docs


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _path(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _anchor(title: str) -> str:
    """GitHub's anchor of a heading."""
    return "".join(one for one in title.lower().replace(" ", "-") if one.isalnum() or one == "-")
