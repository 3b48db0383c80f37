"""What the events of clients.mjs must add up to. Pure.

Of each message and each client that it is for: it came once, whole and after what its sender had
sent before; or somebody was told. Told is

- the receiver, when its connection ended, or it heard of somebody's return who had not left, or
  only afterwards that the sender is there;
- the sender, likewise, by an ``error``, or by a ``device_list`` in which the receiver is not; but a
  connection that a relay closes because it stops (1012) had everything delivered that was sent on
  it before;
- by the end of a connection, nobody of a message that a later one had overtaken, but for a sender
  who had gone by then;
- nobody needs to be told of a bundle that a later one of the session has replaced, or one of
  another sender with code as new;
- a bundle may come after what its sender sent later, when a later bundle of that sender had taken
  its place and was cut short: the phone gets the last whole one all the same;
- so may the cached bundle, which a phone gets that has connected later and was sent none, when its
  sender is gone;
- a bundle may come as a patch, where the phone takes those, and every one that comes fits what the
  phone has; a CLI's patch is refused only as its base is kept no more, or can't be checked now;
- for such a phone a bundle may wait until it is known what of it the phone has, and come after what
  its sender sent later, but for the next bundle.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

WINDOW_MS = 45_000
"""So long after a message its delivery, or word of its loss, is waited for."""
REFUSALS = frozenset({"base", "not_now"})
"""Why a right patch may be refused."""
COMPLAINT_MS = 1_100
"""An ``error`` that may be due for every message comes once a second, for those before it too."""
RETURN_MS = 1_500
"""The first ``mobile_connected`` so long after a phone's connection was made is about that."""
TELLING_MS = 1_000
"""Who is told of a loss hears it so soon after what was sent later has come."""
EARLY_MS = 500
"""So much earlier than the phone itself others may hear that it is connected."""
SERVICE_RESTART = 1012


@dataclass
class Connection:
    """A client's connection, as the client saw it. Times are milliseconds since the epoch."""

    name: str
    who: str
    role: str
    session: str
    relay: str
    patches: bool = False
    """Whether it takes patches."""
    opened_ms: int | None = None
    opened_at: int = -1
    """The number of that event."""
    over_ms: int | None = None
    code: int = 0
    reason: str = ""
    returns_ms: list[int] = field(default_factory=list)
    """When it was told of somebody who is there again though nobody had left."""
    present: set[str] = field(default_factory=set)
    """The phones that are there, as it was told."""
    errors_ms: list[int] = field(default_factory=list)
    lists: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """When it was told what phones there are, and which those were."""
    got: dict[tuple[str, int], int] = field(default_factory=dict)
    """What it got: (sender's connection, number there) → number of the event."""
    got_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """Likewise when."""
    has_bundle = False
    """Whether it got a bundle."""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.relay})"


@dataclass
class Sent:
    """A message as it was sent."""

    sender: Connection
    n: int
    kind: str
    sent_ms: int
    sent_at: int
    whole: bool
    version: int = 0
    """Of the code in a bundle."""
    handed: bool = False

    @property
    def label(self) -> str:
        return f"{self.kind} {self.n} of {self.sender.label}"


class Verdict:
    """What came of a run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Of deliveries, by outcome."""
        self.ways: Counter[str] = Counter()
        """Of bundles that came, by how they came; of patches of CLIs, why they were refused."""
        self.violations: list[str] = []

    def wrong(self, kind: str, text: str, t_ms: int) -> None:
        self.counts[kind] += 1
        self.violations.append(f"{kind.upper()} {text} at {t_ms}")


class History:
    """The events of a run, and the verdict on them."""

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}
        self.sent: dict[tuple[str, int], Sent] = {}
        self.verdict = Verdict()
        self._number = 0
        self._last_of: dict[tuple[str, str], int] = {}
        """(receiver's connection, sender's) → the highest number that came."""
        self._phones_opened_ms: dict[tuple[str, str], list[int]] = defaultdict(list)
        """(session, phone) → when it was connected, every time."""
        self._heard_of: list[tuple[Connection, str, int]] = []
        """(connection, phone, when): who was told ``mobile_connected``."""
        self.running: dict[str, int] = {}
        """Client → the version of the code that it runs."""
        self.expected: dict[str, int] = {}
        """Session → the version that it is to run, when somebody last looked."""
        self.now_ms = 0

    def take(self, event: dict[str, Any]) -> None:
        """The next event."""
        self._number += 1
        self.now_ms = event["t"]
        handler = getattr(self, "_on_" + event["ev"], None)
        if handler is not None:
            handler(event)

    def connected(self, who: str) -> bool:
        """Whether a client is connected, and welcomed."""
        return any(
            one.who == who and one.opened_ms is not None and one.over_ms is None
            for one in self.connections.values()
        )

    def stale(self) -> list[str]:
        """Phones that don't run the code of their session's last save."""
        phones = {one.who: one.session for one in self.connections.values() if one.role == "mobile"}
        return [
            f"{who} runs version {self.running.get(who, 0)} of {self.expected[session]}"
            for who, session in sorted(phones.items())
            if session in self.expected and self.running.get(who, 0) != self.expected[session]
        ]

    def judge(self) -> Verdict:
        """Look for each message at everybody whom it was for."""
        self._find_returns()
        by_session: dict[str, list[Connection]] = defaultdict(list)
        for connection in self.connections.values():
            by_session[connection.session].append(connection)
        bundles: dict[str, list[Sent]] = defaultdict(list)
        for message in self.sent.values():
            if message.kind == "bundle":
                bundles[message.sender.session].append(message)
        for message in self.sent.values():
            from_phone = message.sender.role == "mobile"
            for receiver in by_session[message.sender.session]:
                if (receiver.role == "mobile") is from_phone or receiver.role == "desktop":
                    continue
                if receiver.opened_at < 0 or receiver.opened_at > message.sent_at:
                    continue
                if receiver.over_ms is not None and receiver.over_ms <= message.sent_ms:
                    continue
                self._judge(message, receiver, bundles[message.sender.session])
        return self.verdict

    def _find_returns(self) -> None:
        """See which ``mobile_connected`` were not about a connection that a phone had just made."""
        known: set[tuple[str, str, int]] = set()
        for one, phone, t_ms in self._heard_of:
            times_ms = self._phones_opened_ms[one.session, phone]
            opened_ms = max((at for at in times_ms if at <= t_ms + EARLY_MS), default=-RETURN_MS)
            arrival = (one.name, phone, opened_ms)
            if t_ms - opened_ms > RETURN_MS or arrival in known:
                one.returns_ms.append(t_ms)
            known.add(arrival)

    def _judge(self, message: Sent, receiver: Connection, bundles: list[Sent]) -> None:
        verdict = self.verdict
        key = (message.sender.name, message.n)
        if key in receiver.got:
            verdict.counts["delivered"] += 1
            return
        if not message.whole:
            verdict.counts["never whole"] += 1
            return
        if message.kind == "bundle" and self._replaced(message, receiver, bundles):
            verdict.counts["replaced"] += 1
            return
        sender = message.sender
        overtaken_ms = self._overtaken_ms(message, receiver)
        if overtaken_ms is None and _within(message, [receiver.over_ms]):
            verdict.counts["told the receiver"] += 1
            return
        restarted = sender.code == SERVICE_RESTART and message.handed
        over_ms = None if restarted else sender.over_ms
        if over_ms and overtaken_ms and over_ms > overtaken_ms + TELLING_MS:
            over_ms = None
        complained = _within(message, sender.errors_ms, COMPLAINT_MS)
        heard_ms = [*self._hears_of(sender, receiver), *_absences(message, receiver)]
        if complained or _within(message, [over_ms, *sender.returns_ms, *heard_ms]):
            verdict.counts["told the sender"] += 1
            return
        if _within(message, [*receiver.returns_ms, *self._hears_of(receiver, sender)]):
            verdict.counts["told the receiver"] += 1
            return
        if self.now_ms - message.sent_ms < 1000:
            verdict.counts["at the very end"] += 1
            return
        verdict.wrong("lost", f"{message.label} for {receiver.label}", message.sent_ms)

    @staticmethod
    def _overtaken_ms(message: Sent, receiver: Connection) -> int | None:
        """When the first came to a receiver of those that the sender sent later, and that may not
        overtake it."""
        if _may_wait(message, receiver):
            return None
        later = (
            t_ms
            for (sender, n), t_ms in receiver.got_ms.items()
            if sender == message.sender.name and n > message.n
        )
        return min(later, default=None)

    def _hears_of(self, one: Connection, phone: Connection) -> list[int]:
        """When one was told ``mobile_connected`` of the other."""
        return [t_ms for who, name, t_ms in self._heard_of if who is one and name == phone.who]

    @staticmethod
    def _replaced(message: Sent, receiver: Connection, bundles: list[Sent]) -> bool:
        for other in bundles:
            got_ms = receiver.got_ms.get((other.sender.name, other.n))
            if got_ms is None:
                continue
            if other.sent_at > message.sent_at:
                return True
            # Of two senders at the same time: which of them begins last is seen where they meet.
            is_as_new = other.sender is not message.sender and other.version >= message.version
            if is_as_new and got_ms >= message.sent_ms:
                return True
        return False

    # Events, by name

    def _on_dial(self, event: dict[str, Any]) -> None:
        name = event["conn"]
        self.connections[name] = Connection(
            *(name, event["who"], event["role"], event["session"], event["relay"]),
            event.get("patches", False),
        )

    def _on_open(self, event: dict[str, Any]) -> None:
        one = self.connections[event["conn"]]
        one.opened_ms, one.opened_at = event["t"], self._number
        if one.role == "mobile":
            self._phones_opened_ms[one.session, one.who].append(event["t"])

    def _on_close(self, event: dict[str, Any]) -> None:
        one = self.connections[event["conn"]]
        if one.over_ms is None:
            one.over_ms = event["t"]
        one.code, one.reason = event["code"], event["reason"]

    def _on_gone(self, event: dict[str, Any]) -> None:
        self.connections[event["conn"]].over_ms = event["t"]

    def _on_twice(self, event: dict[str, Any]) -> None:
        self.verdict.wrong("welcomed twice", event["conn"], event["t"])

    def _on_broken(self, event: dict[str, Any]) -> None:
        text = f"{event['conn']} got {event['bytes']} bytes that are no JSON"
        self.verdict.wrong("damaged", text, event["t"])

    def _on_sent(self, event: dict[str, Any]) -> None:
        sender = self.connections[event["conn"]]
        self.sent[event["conn"], event["n"]] = Sent(
            sender,
            event["n"],
            event["kind"],
            event["t"],
            self._number,
            event.get("part", 1) == 1,
            event.get("version", 0),
        )

    def _on_handed(self, event: dict[str, Any]) -> None:
        self.sent[event["conn"], event["n"]].handed = True

    def _on_told(self, event: dict[str, Any]) -> None:
        one = self.connections[event["conn"]]
        if event["type"] == "error" or event["type"] == "console_log":
            one.errors_ms.append(event["t"])
        elif event["type"] == "device_list":
            one.lists.append((event["t"], frozenset(event.get("devices", ()))))
            one.present = set(event.get("devices", ()))
        elif event["type"] == "mobile_disconnected":
            one.present.discard(event.get("device", ""))
        elif event["type"] == "mobile_connected":
            phone = event.get("device", "")
            if phone in one.present:
                one.returns_ms.append(event["t"])
            one.present.add(phone)
            self._heard_of.append((one, phone, event["t"]))

    def _on_got(self, event: dict[str, Any]) -> None:
        receiver = self.connections[event["conn"]]
        key = (event["from"], event["n"])
        what = f"{event['kind']} {event['n']} of {event['from']} at {receiver.label}"
        if not event["whole"] or key not in self.sent:
            self.verdict.wrong("damaged", what, event["t"])
            return
        message = self.sent[key]
        if message.sender.session != receiver.session:
            self.verdict.wrong("astray", what, event["t"])
        if key in receiver.got:
            self.verdict.wrong("twice", what, event["t"])
        pair = (receiver.name, event["from"])
        last = self._last_of.get(pair, 0)
        if event["n"] < last:
            if self._came_back(message, receiver):
                self.verdict.counts["came back"] += 1
            elif _is_replay(message, receiver):
                self.verdict.counts["replayed"] += 1
            elif self._has_waited(message, receiver):
                self.verdict.counts["has waited"] += 1
            else:
                self.verdict.wrong("disorder", f"{what}, after {last}", event["t"])
        self._last_of[pair] = max(last, event["n"])
        receiver.got[key] = self._number
        receiver.got_ms[key] = event["t"]
        receiver.has_bundle = receiver.has_bundle or event["kind"] == "bundle"
        if event["kind"] == "bundle":
            self.running[receiver.who] = event["version"]
            self.verdict.ways[event.get("how", "whole")] += 1

    def _on_unfit(self, event: dict[str, Any]) -> None:
        text = f"{event['conn']} got a {event['reason']} that is for other code"
        self.verdict.wrong("unfit", text, event["t"])

    def _on_refused(self, event: dict[str, Any]) -> None:
        reason = event["reason"]
        self.verdict.ways[f"refused: {reason}"] += 1
        if reason not in REFUSALS:
            self.verdict.wrong("refused", f"a patch of {event['conn']}: {reason}", event["t"])

    def _came_back(self, message: Sent, receiver: Connection) -> bool:
        """Whether a later bundle of its sender had taken a bundle's place, and has not come."""
        return message.kind == "bundle" and any(
            other.kind == "bundle"
            and other.sender is message.sender
            and other.n > message.n
            and key not in receiver.got
            for key, other in self.sent.items()
        )

    def _has_waited(self, message: Sent, receiver: Connection) -> bool:
        """Whether a bundle may have waited until it was known what of it the phone has."""
        return _may_wait(message, receiver) and not any(
            sender == message.sender.name
            and n > message.n
            and self.sent[sender, n].kind == "bundle"
            for sender, n in receiver.got
        )

    def _on_look(self, event: dict[str, Any]) -> None:
        self.expected = event["versions"]

    _on_final = _on_look


def _may_wait(message: Sent, receiver: Connection) -> bool:
    """Whether a bundle may come after small messages that its sender sent later."""
    return message.kind == "bundle" and receiver.role == "mobile" and receiver.patches


def _is_replay(message: Sent, receiver: Connection) -> bool:
    """Whether it is the cached bundle, which was sent before the receiver connected."""
    is_older = receiver.opened_at > message.sent_at
    return message.kind == "bundle" and is_older and not receiver.has_bundle


def _absences(message: Sent, receiver: Connection) -> Iterable[int]:
    """When the message's sender was told that the receiver, a phone, is not there."""
    if receiver.role != "mobile":
        return
    known = [(t_ms, devices) for t_ms, devices in message.sender.lists if t_ms <= message.sent_ms]
    if known and receiver.who not in known[-1][1]:
        yield message.sent_ms
    yield from (t_ms for t_ms, devices in message.sender.lists if receiver.who not in devices)


def _within(message: Sent, times_ms: Iterable[int | None], before_ms: int = 0) -> bool:
    """Whether one of these times is in the message's window, which begins ``before_ms`` early."""
    begins_ms, ends_ms = message.sent_ms - before_ms, message.sent_ms + WINDOW_MS
    return any(t_ms is not None and begins_ms <= t_ms <= ends_ms for t_ms in times_ms)
