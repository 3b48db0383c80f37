"""The Redis in memory that `tests.cluster` stands on, held against a real one: whatever nodes ask,
in whatever order, both answer and publish the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership import scripts
from tests.cluster.redis_model import PREFIX, RedisModel
from tests.live.redis import RedisClient, blocking_server, missing_redis

LONG_MS = 3_600_000
NODES, RUNS = ("n1", "n2", "n3"), ("run1", "run2")
SESSIONS = tuple(digit * 64 for digit in "ab")

session = st.sampled_from(SESSIONS)
some = st.lists(session, max_size=3).map(tuple)
flag = st.sampled_from((0, 1))
epoch = st.sampled_from((1, 1, 2, 3))


@st.composite
def beats(draw: st.DrawFn) -> tuple[Any, ...]:
    due = draw(some)
    said = (f"ws://{draw(st.sampled_from(NODES))}:1", len(due), 7, 1234, "0.1")
    first, draining = draw(flag), draw(flag)
    lists = draw(flag)
    said += (lists, len(due))
    return (scripts.BEAT, LONG_MS, LONG_MS, first, draining, *said, *due, *draw(some))


asked = st.one_of(
    st.tuples(st.just(scripts.CLAIM), session, flag),
    st.tuples(st.just(scripts.TAKE_OVER), session, st.sampled_from(NODES), epoch),
    some.map(lambda names: (scripts.RELEASE, *names)),
    some.map(lambda names: (scripts.LOOK_FOR, *names)),
    some.map(lambda names: (scripts.LOOK, LONG_MS, *names)),
    st.lists(st.tuples(session, epoch), max_size=3).map(
        lambda pairs: (scripts.RESTORE, *(word for pair in pairs for word in pair))
    ),
    st.tuples(st.just(scripts.KICK), session, st.just("kicked")),
    st.just((scripts.NODES,)),
    st.tuples(
        st.just(scripts.SUSPECT),
        st.sampled_from(NODES),
        st.sampled_from(("ws://x:1", "ws://x:1", "ws://n1:1")),
        st.sampled_from(("", RUNS[0], RUNS[0], RUNS[1])),
        st.sampled_from((0, 2 * LONG_MS)),
    ),
    st.just((scripts.LEAVE,)),
    beats(),
)
"""A script and what it takes behind the first four arguments."""
lost = st.one_of(
    st.sampled_from(("pulse", "settling")),
    session.map(lambda one: f"session:{one}"),
    st.sampled_from(NODES).map(lambda node: f"node:{node}"),
)
"""A key whose time is over."""
usual = st.tuples(st.sampled_from(NODES), st.just(RUNS[0]), asked)
hearing = st.tuples(st.sampled_from(("SUBSCRIBE", "UNSUBSCRIBE")), st.sampled_from(NODES))
"""A node's connection for notices is made, or lost."""
steps = st.one_of(
    *[usual] * 5,
    hearing,
    st.tuples(st.sampled_from(NODES), st.sampled_from(RUNS), asked),
    lost,
    st.just(None),
)
"""``None`` is FLUSHALL."""
BEGINNING = [
    *(
        (node, RUNS[0], (scripts.BEAT, LONG_MS, LONG_MS, 1, 0, "ws://x:1", 0, 0, 0, "0", 0, 0))
        for node in NODES
    ),
    "settling",
]
"""All nodes are there, and may have sessions."""


class ModelTest(SynchronousTestCase):
    skip = missing_redis()

    def test_whatever_nodes_ask(self) -> None:
        with blocking_server() as path:
            redis, listener = RedisClient(path), RedisClient(path)
            self.addCleanup(redis.close)
            self.addCleanup(listener.close)
            # Those for single nodes are heard where such a node is subscribed.
            listener("PSUBSCRIBE", f"{PREFIX}[^t]*")
            hearing: set[str] = set()

            def published() -> list[tuple[str, str]]:
                listener.send("PING", "done")
                heard = []
                while True:
                    reply: Any = listener.read()
                    if reply == ["pong", "done"]:
                        return heard
                    heard.append((reply[-2], reply[-1]))

            @settings(max_examples=400)
            @given(st.lists(steps, min_size=10, max_size=40))
            def check(run: list[Any]) -> None:
                redis("FLUSHALL")
                said: list[tuple[str, str]] = []

                def listen(channel: str, text: str) -> None:
                    if model.hearers(channel):
                        said.append((channel, text))

                model = RedisModel(lambda: 1)
                model.listen = listen
                model.hearers = lambda channel: int(
                    not channel.startswith(f"{PREFIX}to:") or channel in hearing
                )
                run = BEGINNING + run
                for number, step in enumerate(run):
                    where = f"step {number}: {run[: number + 1]}"
                    if step is None:
                        redis("FLUSHALL")
                        model.empty()
                    elif isinstance(step, str):
                        redis("DEL", PREFIX + step)
                        model.expire(PREFIX + step)
                    elif len(step) == 2:
                        word, node = step
                        channel = f"{PREFIX}to:{node}"
                        listener(word, channel)
                        (hearing.add if word == "SUBSCRIBE" else hearing.discard)(channel)
                    else:
                        node, process, (script, *args) = step
                        words = (PREFIX, node, process, LONG_MS, *args)
                        real = redis("EVAL", script, 0, *words)
                        self.assertEqual(
                            comparable(model.run(script, *words)), comparable(real), where
                        )
                    self.assertEqual(said, published(), where)
                    said.clear()

            check()


def comparable(reply: Any) -> Any:
    """A reply without what time alone decides: how long a grace time lasts yet, and the order of
    nodes by their last beat."""
    if isinstance(reply, list):
        return sorted(map(comparable, reply))
    if isinstance(reply, str) and reply.startswith("settling "):
        return "settling"
    return reply
