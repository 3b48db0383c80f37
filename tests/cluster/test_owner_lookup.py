"""Who owns a session, in every state of the directory."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.owner_lookup import OwnerLookup
from apptuner_relay.cluster.ownership.directory import (
    DirectoryUnreachable,
    Draining,
    Lease,
    NodeInfo,
)
from apptuner_relay.cluster.ownership.living_nodes import LivingNodes
from apptuner_relay.cluster.ownership.rendezvous import weight
from apptuner_relay.session.session import Admission, Arrival, BadRequest, Role

KEY = "1" * 64
THEIRS = Lease(KEY, "b", "ws://b:1", 3)


class Directory:
    node = "a"

    def __init__(self) -> None:
        self.state = "connected"
        self.draining = False
        self.result: Any = THEIRS
        self.claims = 0
        self.living = ["a", "b", "c"]

    def claim(self, session: str) -> Deferred[Lease]:
        self.claims += 1
        return fail(self.result) if isinstance(self.result, Exception) else succeed(self.result)

    def nodes(self) -> Deferred[list[NodeInfo]]:
        if self.state == "away":
            return fail(DirectoryUnreachable("unreachable"))
        return succeed(
            [NodeInfo(node, f"ws://{node}:1", 0, 0, 0, node == "a", "0") for node in self.living]
        )


class OwnerLookupTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory: Any = Directory()
        self.remotes: list[Any] = []
        remotes: Any = SimpleNamespace(in_session=lambda session: tuple(self.remotes))
        living = LivingNodes(lambda: self.directory, lambda: None)
        self.lookup = OwnerLookup(lambda: self.directory, living, remotes)

    def find(self, arrival: Arrival = Arrival.NEW) -> Lease:
        admission = Admission(Role.CLI, KEY, None, "", arrival=arrival)
        return self.successResultOf(Deferred.fromCoroutine(self.lookup.find(admission)))

    def refuse(self, why: str, arrival: Arrival = Arrival.NEW) -> None:
        admission = Admission(Role.CLI, KEY, None, "", arrival=arrival)
        finding = Deferred.fromCoroutine(self.lookup.find(admission))
        refusal = self.failureResultOf(finding, BadRequest).value
        self.assertEqual((refusal.status, str(refusal)), (503, why))  # type: ignore[attr-defined]

    def lose_redis(self) -> None:
        self.directory.state = "away"
        self.directory.result = DirectoryUnreachable("unreachable")

    def test_by_the_directory(self) -> None:
        self.assertEqual(self.find(), THEIRS)

    def test_one_that_is_unknown_is_begun_here(self) -> None:
        self.lose_redis()
        lease = self.find()
        self.assertEqual((lease.node, lease.epoch), ("a", 0))
        self.assertEqual(self.lookup.provisional, {KEY})

    def test_nobody_waits_for_the_directory_once_more(self) -> None:
        self.lose_redis()
        self.find()
        self.assertEqual(self.find().node, "a")
        self.assertEqual(self.directory.claims, 1)

    def test_a_provisional_session_is_compared_when_the_directory_is_back(self) -> None:
        self.lose_redis()
        self.find()
        self.directory.state, self.directory.result = "connected", THEIRS
        self.assertEqual(self.find(), THEIRS)
        self.assertEqual(self.lookup.provisional, set())

    def test_a_client_here_that_has_a_link_knows_the_owner(self) -> None:
        self.lose_redis()
        self.remotes = [
            SimpleNamespace(link=None, lease=THEIRS._replace(node="c")),
            SimpleNamespace(link=object(), lease=THEIRS),
        ]
        self.assertEqual(self.find(), THEIRS)
        self.assertEqual(self.lookup.provisional, set())

    def test_a_relay_that_drains_begins_no_session(self) -> None:
        self.lose_redis()
        self.directory.draining = True
        for arrival in Arrival:
            self.refuse("The relay drains: it takes no new sessions now", arrival)
        self.assertEqual(self.lookup.provisional, set())

    def test_a_new_client_of_a_relay_that_drains(self) -> None:
        self.directory.result = Draining("draining")
        self.refuse("The relay drains: it takes no new sessions now")

    def test_clients_that_are_here_choose_the_same_successor(self) -> None:
        self.directory.result = Draining("draining")
        expected = max("bc", key=lambda node: weight(KEY, node))
        for arrival in (Arrival.MOVED, Arrival.RECOVERED):
            lease = self.find(arrival)
            self.assertEqual(
                (lease.node, lease.address, lease.epoch), (expected, f"ws://{expected}:1", 0)
            )

    def test_there_is_no_successor(self) -> None:
        self.directory.result = Draining("draining")
        self.directory.living = ["a"]
        self.refuse("The relay drains, and there is no other one", Arrival.MOVED)

    def test_whether_it_is_here_still(self) -> None:
        admission = Admission(Role.CLI, KEY, None, "")
        for node in ("a", "b"):
            self.directory.result = THEIRS._replace(node=node)
            here = Deferred.fromCoroutine(self.lookup.is_here(admission))
            self.assertEqual(self.successResultOf(here), node == "a")
