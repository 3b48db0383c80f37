"""An event's handler that fails disturbs nothing else."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import Events, Lease, NodeInfo
from apptuner_relay.cluster.ownership.guarded_events import GuardedEvents

SESSION = "0" * 64
CALLS = {
    "lost": (SESSION, Lease(SESSION, "b", "ws://b:1", 2)),
    "moved": (SESSION,),
    "drained": ("b",),
    "kicked": (SESSION, "mobile", "reason"),
    "listed": ([NodeInfo("b", "ws://b:1", 1, 2, 3, False, "0")],),
    "emptied": (),
    "released": ("ab" * 32,),
    "unreachable": (),
    "reachable": (),
}


class Handler(Events):
    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[object, ...]]] = []
        self.fails = False


def _handle(name: str):  # type: ignore[no-untyped-def]
    def handle(self: Handler, *args: object) -> None:
        self.heard.append((name, args))
        if self.fails:
            raise ZeroDivisionError

    return handle


for _name in CALLS:
    setattr(Handler, _name, _handle(_name))


class GuardedEventsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler()
        self.events = GuardedEvents(self.handler)

    def test_every_event_there_is(self) -> None:
        names = {name for name in vars(Events) if not name.startswith("_")}
        self.assertEqual(names, set(CALLS))

    def test_all_are_passed_on(self) -> None:
        for name, args in CALLS.items():
            getattr(self.events, name)(*args)
        self.assertEqual(self.handler.heard, list(CALLS.items()))

    def test_one_that_fails_is_logged(self) -> None:
        self.handler.fails = True
        for name, args in CALLS.items():
            getattr(self.events, name)(*args)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, name)
