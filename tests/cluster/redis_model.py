"""A Redis in memory that does what the scripts of `ownership.scripts` do there, by the clock of a
test, and connections to it through a `network.Network`.

`tests.live.test_redis_model` holds it against a real one: whatever nodes ask, both say the same.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused
from tests.cluster.network import Lane, Network

HOST = "redis"
PREFIX = "apptuner:"
AGAIN_S = 0.3
"""How long after a connection was lost, or could not be made, it is tried again."""
_FIELDS = ("address", "sessions", "connections", "since_ms", "draining", "version")

Owner = tuple[int, str | None, str | None]


class RedisModel:
    """The server.

    :param now_ms: its time of day.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.refusal: str | None = None
        """With what it refuses every script, if it does."""
        self.listen: Callable[[str, str], None] = lambda channel, text: None
        """Called with what is published."""
        self.hearers: Callable[[str], int] = lambda channel: 1
        """How many are subscribed to a channel."""
        self._now_ms = now_ms
        self._values: dict[str, Any] = {}
        self._ends_ms: dict[str, int] = {}
        self._scripts: dict[str, Callable[..., Any]] = {
            scripts.CLAIM: self._claim,
            scripts.TAKE_OVER: self._take_over,
            scripts.RELEASE: self._release,
            scripts.BEAT: self._beat,
            scripts.LOOK_FOR: self._look_for,
            scripts.RESTORE: self._restore,
            scripts.LOOK: self._look,
            scripts.KICK: self._kick,
            scripts.NODES: self._list_nodes,
            scripts.SUSPECT: self._suspect,
            scripts.LEAVE: self._leave,
        }

    # What a test does

    def run(self, script: str, *args: str | int) -> Any:
        """What EVAL replies.

        :raises ServerRefused: if it refuses.
        """
        if self.refusal is not None:
            raise ServerRefused(self.refusal)
        words = [str(arg) for arg in args]
        do = self._scripts.get(script)
        # Whatever else is asked is about the server itself.
        return "noeviction" if do is None else do(*words[:4], words[4:])

    def settled(self) -> None:
        """Other nodes have been here until now: the first one to come may claim sessions."""
        self._set(f"{PREFIX}pulse", "1", 1000)

    def empty(self) -> None:
        """FLUSHALL."""
        self._values.clear()
        self._ends_ms.clear()

    def expire(self, key: str) -> None:
        """The time of a key is over."""
        self._delete(key)

    def evict(self, session: str) -> None:
        """The key of one session is lost."""
        self._delete(_key(PREFIX, session))

    def forget(self, node: str) -> None:
        """A node's lease time is over."""
        self._delete(f"{PREFIX}node:{node}")

    def owner(self, session: str) -> str | None:
        """The living node that a session is written down for."""
        _, node, run = self._owner_of(PREFIX, session)
        return node if self._address_of(PREFIX, node, run) else None

    # Keys

    def _get(self, key: str) -> Any:
        if self._ends_ms.get(key, self._now_ms() + 1) <= self._now_ms():
            self._delete(key)
        return self._values.get(key)

    def _set(self, key: str, value: Any, live_ms: str | int) -> None:
        self._values[key] = value
        self._live(key, live_ms)

    def _live(self, key: str, live_ms: str | int) -> None:
        if self._get(key) is not None:
            self._ends_ms[key] = self._now_ms() + int(live_ms)

    def _left_ms(self, key: str) -> int:
        return -2 if self._get(key) is None else self._ends_ms[key] - self._now_ms()

    def _delete(self, key: str) -> None:
        self._values.pop(key, None)
        self._ends_ms.pop(key, None)

    # What all scripts begin with

    def _owner_of(self, prefix: str, session: str) -> Owner:
        value = self._get(_key(prefix, session))
        if value is None:
            return 0, None, None
        epoch, *rest = value.split(" ")
        return (int(epoch), *rest) if rest else (int(epoch), None, None)

    def _address_of(self, prefix: str, node: str | None, run: str | None) -> str | None:
        found = self._get(f"{prefix}node:{node}")
        return found["address"] if found is not None and found["run"] == run else None

    def _tell(self, prefix: str, session: str, me: str, old: str | None = None) -> None:
        text = f"moved {session} {me}"
        self.listen(f"{prefix}on:{session}", text)
        if old is not None and old != me:
            self.listen(f"{prefix}to:{old}", text)

    def _take(
        self, prefix: str, session: str, epoch: int, me: str, my_run: str, keep_ms: str
    ) -> None:
        self._set(_key(prefix, session), f"{epoch} {me} {my_run}", keep_ms)

    def _missing(self, prefix: str, sessions: Sequence[str]) -> list[str]:
        return [session for session in sessions if self._get(_key(prefix, session)) is None]

    # The scripts

    def _claim(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> str:
        session, draining = args
        epoch, node, run = self._owner_of(prefix, session)
        is_mine = (node, run) == (me, my_run)
        if not is_mine:
            address = self._address_of(prefix, node, run)
            if address:
                return f"other {epoch} {node} {address}"
            if draining == "1":
                return "draining"
        if not self._address_of(prefix, me, my_run):
            return "unregistered"
        if is_mine:
            return f"mine {epoch}"
        settling_ms = self._left_ms(f"{prefix}settling")
        if settling_ms > 0:
            return f"settling {settling_ms}"
        self._take(prefix, session, epoch + 1, me, my_run, keep_ms)
        self._tell(prefix, session, me, node)
        if epoch == 0:
            self.listen(f"{prefix}news", f"begun {session} {me}")
        return f"mine {epoch + 1}"

    def _take_over(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> str:
        session, giver, held = args
        epoch, node, run = self._owner_of(prefix, session)
        if (node, run) == (me, my_run):
            return f"mine {epoch}"
        address = self._address_of(prefix, node, run)
        if not (node == giver and epoch == int(held) and address):
            return f"other {epoch} {node} {address}" if address else "nobody"
        if not self._address_of(prefix, me, my_run):
            return "unregistered"
        self._take(prefix, session, epoch + 1, me, my_run, keep_ms)
        self._tell(prefix, session, me)
        return f"mine {epoch + 1}"

    def _release(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> int:
        released = 0
        for session in args:
            epoch, node, run = self._owner_of(prefix, session)
            if (node, run) == (me, my_run):
                self._set(_key(prefix, session), str(epoch), keep_ms)
                self._tell(prefix, session, me)
                released += 1
        return released

    def _beat(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> list[str]:
        lease_ms, grace_ms, first, draining, *rest = args
        values = dict(
            zip(("address", "sessions", "connections", "since_ms", "version"), rest, strict=False)
        )
        mine = f"{prefix}node:{me}"
        before = self._get(mine)
        if before is not None and before["run"] != my_run and first != "1":
            return ["replaced"]
        if self._get(f"{prefix}pulse") is None:
            self._set(f"{prefix}settling", "1", grace_ms)
            self.listen(f"{prefix}news", "emptied")
        self._set(f"{prefix}pulse", "1", lease_ms)
        self._set(mine, {"run": my_run, "draining": draining, **values}, lease_ms)
        known = before is not None and before["run"] == my_run
        if draining == "1" and not (known and before["draining"] == "1"):
            self.listen(f"{prefix}all", f"drained {me}")
        nodes = self._values.setdefault(f"{prefix}nodes", {})
        nodes[me] = self._now_ms() + int(lease_ms)
        for node in [node for node, ends_ms in nodes.items() if ends_ms < self._now_ms()]:
            del nodes[node]
        reply = ["kept" if known else "new"]
        if rest[5] == "1":
            reply += self._list_nodes(prefix, me, my_run, keep_ms, [])
        count, sessions = int(rest[6]), rest[7:]
        for session in sessions[:count]:
            if self._owner_of(prefix, session)[1:] == (me, my_run):
                self._live(_key(prefix, session), keep_ms)
            else:
                reply.append(session)
        return reply + self._missing(prefix, sessions[count:])

    def _look_for(
        self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]
    ) -> list[str]:
        return self._missing(prefix, args)

    def _restore(
        self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]
    ) -> list[str]:
        reply = []
        for session, held_text in zip(args[::2], args[1::2], strict=True):
            held = int(held_text)
            epoch, node, run = self._owner_of(prefix, session)
            said = f"mine {max(epoch, held)}"
            if (node, run) == (me, my_run) and epoch >= held:
                self._live(_key(prefix, session), keep_ms)
            else:
                address = self._address_of(prefix, node, run)
                if epoch > held or (epoch == held and (address or node is None)):
                    said = f"other {epoch} {node} {address}" if address else "nobody"
                else:
                    self._take(prefix, session, held, me, my_run, keep_ms)
                    self._tell(prefix, session, me, node)
            reply.append(said)
        return reply

    def _look(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> list[str]:
        settling_ms = self._left_ms(f"{prefix}settling")
        if self._get(f"{prefix}pulse") is None:
            settling_ms = int(args[0])
        nobody = f"settling {settling_ms}" if settling_ms > 0 else "nobody"
        reply = []
        for session in args[1:]:
            epoch, node, run = self._owner_of(prefix, session)
            address = self._address_of(prefix, node, run)
            reply.append(f"other {epoch} {node} {address}" if address else nobody)
        return reply

    def _kick(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> str:
        session, text = args
        _, node, run = self._owner_of(prefix, session)
        self.listen(f"{prefix}on:{session}", text)
        if self._address_of(prefix, node, run):
            self.listen(f"{prefix}to:{node}", text)
        return "told"

    def _list_nodes(
        self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]
    ) -> list[str]:
        nodes = self._values.get(f"{prefix}nodes", {})
        reply = []
        for node in sorted(nodes, key=lambda one: (nodes[one], one)):
            found = self._get(f"{prefix}node:{node}")
            if found is not None:
                reply.append(" ".join([node, *(found[field] for field in _FIELDS)]))
        return reply

    def _suspect(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> str:
        node, address, run, left_ms = args
        found = self._get(f"{prefix}node:{node}")
        if found is None:
            return "ended"

        def hears(one: str) -> bool:
            channel = f"{prefix}to:{one}"
            self.listen(channel, f"moved {'0' * 64} {me}")
            return self.hearers(channel) > 0

        if not hears(me):
            return "unknown"
        if found["address"] != address or hears(node):
            return "lives"
        now_ms = self._left_ms(f"{prefix}node:{node}")
        if run == "":
            return f"silent {found['run']} {now_ms}"
        if found["run"] != run or now_ms > int(left_ms):
            return "lives"
        self._delete(f"{prefix}node:{node}")
        self._values.get(f"{prefix}nodes", {}).pop(node, None)
        return "ended"

    def _leave(self, prefix: str, me: str, my_run: str, keep_ms: str, args: list[str]) -> str:
        found = self._get(f"{prefix}node:{me}")
        if found is not None and found["run"] == my_run:
            self._delete(f"{prefix}node:{me}")
            self._values.get(f"{prefix}nodes", {}).pop(me, None)
        return "left"


def _key(prefix: str, session: str) -> str:
    return f"{prefix}session:{session}"


class RedisServer:
    """A `RedisModel` on a network, that can be down."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.clock: Clock = network.clock
        self.model = RedisModel(lambda: round(1000 * self.clock.seconds()))
        self.model.listen = self._published
        self.model.hearers = self._count_hearers
        self.is_up = True
        self.dead: set[str] = set()
        """The hosts that don't connect any more: their processes were killed."""
        self.links: list[MemoryLink] = []
        network.when_joined(self._poke)

    def stop(self) -> None:
        """It ends; what it has is still there when it is started again."""
        self.is_up = False
        for link in self.links:
            link.lose("the connection was lost")

    def start(self) -> None:
        """It is there again."""
        self.is_up = True

    def kill(self, host: str) -> None:
        """A node's process is killed: it says nothing more."""
        self.dead.add(host)
        for link in self.links:
            if link.host == host:
                link.lose("killed")

    def _poke(self) -> None:
        for link in self.links:
            link.poke()

    def _published(self, channel: str, text: str) -> None:
        for link in self.links:
            if isinstance(link, MemorySubscriber):
                link.publish(channel, text)

    def _count_hearers(self, channel: str) -> int:
        subscribers = [link for link in self.links if isinstance(link, MemorySubscriber)]
        return sum(link.is_up and channel in link.channels for link in subscribers)


class MemoryLink:
    """What `redis_link.RedisLink` is to one node.

    :param host: the node's.
    :param answer_s: see there.
    """

    def __init__(self, server: RedisServer, host: str, answer_s: float) -> None:
        self.on_connected: Callable[[], None] = lambda: None
        self.on_disconnected: Callable[[str], None] = lambda reason: None
        self.host = host
        self.is_up = False
        self.delay_s = server.network.make_delay()
        self._server, self._answer_s = server, answer_s
        self._is_stopped = True
        self._retry: IDelayedCall | None = None
        blocked = self._is_blocked
        clock = server.clock
        self._out = Lane(clock, lambda: self.delay_s, blocked)
        self._back = Lane(clock, lambda: self.delay_s, blocked)
        server.links.append(self)

    def start(self) -> None:
        """See `RedisLink`."""
        self._is_stopped = False
        self._connect()

    async def stop(self) -> None:
        """See `RedisLink`."""
        self._is_stopped = True
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._drop()

    def reset(self, reason: str) -> None:
        """See `RedisLink`."""
        self._server.clock.callLater(0, self.lose, reason)

    def lose(self, reason: str) -> None:
        """The connection is lost."""
        if self.is_up:
            self._drop()
            if not self._is_stopped:
                self._try_again(AGAIN_S)
            self.on_disconnected(reason)

    def poke(self) -> None:
        """See `Lane`."""
        self._out.poke()
        self._back.poke()

    def _is_blocked(self) -> bool:
        return self._server.network.is_parted(self.host, HOST)

    def _drop(self) -> None:
        self.is_up = False
        self._out.clear()
        self._back.clear()

    def _try_again(self, after_s: float) -> None:
        self._retry = self._server.clock.callLater(after_s, self._connect)

    def _connect(self) -> None:
        self._retry = None
        if self.host in self._server.dead or self._is_stopped:
            return
        if self._is_blocked():
            self._try_again(self._answer_s)
            self.on_disconnected(f"no answer in {self._answer_s:g} s")
        elif not self._server.is_up:
            self._try_again(AGAIN_S)
            self.on_disconnected("refused")
        else:
            self.is_up = True
            self.on_connected()


class MemoryCommands(MemoryLink):
    """In place of a `redis_link.CommandLink`. Where nothing is delayed, replies come at once."""

    def __init__(self, server: RedisServer, host: str, answer_s: float) -> None:
        self._waiting: list[Deferred[Any]] = []
        super().__init__(server, host, answer_s)

    def run(self, script: str, *args: str | int) -> Deferred[Any]:
        """See `CommandLink`."""
        if not self.is_up:
            return fail(LinkLost("not connected"))
        if not self.delay_s and not self._is_blocked():
            try:
                return succeed(self._server.model.run(script, *args))
            except ServerRefused as refused:
                self.reset(str(refused))
                return fail(refused)
        reply: Deferred[Any] = Deferred()
        self._waiting.append(reply)
        give_up = self._server.clock.callLater(self._answer_s, self._no_answer, reply)

        def said(result: Any) -> Any:
            if give_up.active():
                give_up.cancel()
            return result

        reply.addBoth(said)
        self._out.put(lambda: self._arrived(reply, script, args))
        return reply

    def _arrived(self, reply: Deferred[Any], script: str, args: Sequence[str | int]) -> None:
        try:
            result = self._server.model.run(script, *args)
        except ServerRefused as refused:
            why = refused
            self._back.put(lambda: self._refused(reply, why))
        else:
            self._back.put(lambda: self._fire(reply, result))

    def _fire(self, reply: Deferred[Any], result: Any) -> None:
        if reply in self._waiting:
            self._waiting.remove(reply)
            reply.callback(result)

    def _refused(self, reply: Deferred[Any], why: ServerRefused) -> None:
        if reply in self._waiting:
            self.reset(str(why))
            self._waiting.remove(reply)
            reply.errback(why)

    def _no_answer(self, reply: Deferred[Any]) -> None:
        if reply in self._waiting:
            self.lose(f"no answer in {self._answer_s:g} s")

    def _drop(self) -> None:
        super()._drop()
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply.errback(LinkLost("the connection was lost"))


class MemorySubscriber(MemoryLink):
    """In place of a `redis_link.SubscriberLink`."""

    def __init__(self, server: RedisServer, host: str, answer_s: float) -> None:
        self.on_notice: Callable[[str, str], None] = lambda channel, text: None
        self.channels: set[str] = set()
        self._pings: list[IDelayedCall] = []
        super().__init__(server, host, answer_s)

    def subscribe(self, channel: str) -> None:
        """See `SubscriberLink`."""
        if self.is_up:
            self._out.put(lambda: self.channels.add(channel))

    def unsubscribe(self, channel: str) -> None:
        """See `SubscriberLink`."""
        if self.is_up:
            self._out.put(lambda: self.channels.discard(channel))

    def ping(self) -> None:
        """See `SubscriberLink`."""
        if self.is_up:
            give_up = self._server.clock.callLater(
                self._answer_s, self.lose, f"no answer in {self._answer_s:g} s"
            )
            self._pings = [one for one in self._pings if one.active()]
            self._pings.append(give_up)
            self._out.put(lambda: self._back.put(lambda: _cancel(give_up)))

    def publish(self, channel: str, text: str) -> None:
        """The server says something to all who are subscribed."""
        if self.is_up and channel in self.channels:
            self._back.put(lambda: self.on_notice(channel, text))

    def _drop(self) -> None:
        super()._drop()
        self.channels.clear()
        for ping in self._pings:
            _cancel(ping)


def _cancel(call: IDelayedCall) -> None:
    if call.active():
        call.cancel()
