"""What `ops/chaos` makes of events: a checker that finds nothing would find nothing for ever."""

from typing import Any

from chaos_lib.checker import COMPLAINT_MS, RETURN_MS, WINDOW_MS, History
from twisted.trial.unittest import SynchronousTestCase

CLI, PHONE = "cli.1", "phone.1"


class CheckerCase(SynchronousTestCase):
    """A CLI and a phone that are connected, and a clock that moves by a second an event."""

    def setUp(self) -> None:
        self.history = History()
        self.t_ms = 0
        self.connect(PHONE, "mobile")
        self.connect(CLI, "cli")

    def event(self, ev: str, conn: str, **what: Any) -> None:
        self.t_ms += 1000
        who = conn.split(".", maxsplit=1)[0]
        self.history.take({"t": self.t_ms, "ev": ev, "conn": conn, "who": who, **what})

    def connect(self, conn: str, role: str, **what: Any) -> None:
        self.event("dial", conn, role=role, session="S", relay="a", **what)
        self.event("open", conn)

    def send(self, n: int, kind: str = "talk", **what: Any) -> None:
        self.event("sent", CLI, n=n, kind=kind, **what)
        self.event("handed", CLI, n=n)

    def get(self, n: int, kind: str = "talk", whole: bool = True, **what: Any) -> None:
        what = {"kind": kind, "n": n, "whole": whole, "from": CLI, **what}
        self.event("got", what.pop("to", PHONE), **what)

    def later(self) -> None:
        """The run goes on until nothing is waited for."""
        self.t_ms += 2 * WINDOW_MS
        self.event("nothing", CLI)

    def outcome(self, *kinds: str) -> None:
        """The run's deliveries came to this, and it is right or wrong accordingly."""
        self.later()
        verdict = self.history.judge()
        self.assertEqual(sorted(verdict.counts.elements()), sorted(kinds))
        wrong = {
            *("lost", "twice", "disorder", "damaged", "astray", "welcomed twice"),
            *("unfit", "refused"),
        }
        self.assertEqual(bool(verdict.violations), bool(wrong & set(kinds)), verdict.violations)


class DeliveryTest(CheckerCase):
    def test_once_whole_and_in_order(self) -> None:
        self.send(1)
        self.send(2)
        self.get(1)
        self.get(2)
        self.outcome("delivered", "delivered")

    def test_lost(self) -> None:
        self.send(1)
        self.send(2)
        self.get(2)
        self.outcome("delivered", "lost")

    def test_twice(self) -> None:
        self.send(1)
        self.get(1)
        self.get(1)
        self.outcome("delivered", "twice")

    def test_out_of_order(self) -> None:
        self.send(1)
        self.send(2)
        self.get(2)
        self.get(1)
        self.outcome("delivered", "delivered", "disorder")

    def test_a_bundle_whose_successor_was_cut_short_comes_back(self) -> None:
        self.send(1, "bundle", version=1)
        self.send(2)
        self.send(3, "bundle", version=2)
        self.get(2)
        self.get(1, "bundle", version=1)
        self.event("close", CLI, code=1006, reason="")
        self.outcome("delivered", "delivered", "came back", "told the sender")

    def test_a_bundle_that_is_replayed_is_in_order(self) -> None:
        self.send(1, "bundle")
        self.get(1, "bundle", version=1)
        self.connect("late.1", "mobile")
        self.send(2)
        self.get(2)
        self.get(2, to="late.1")
        self.get(1, "bundle", to="late.1", version=1)
        self.outcome("delivered", "delivered", "delivered", "replayed")

    def test_a_replay_behind_another_bundle_is_in_disorder(self) -> None:
        self.send(1, "bundle")
        self.get(1, "bundle", version=1)
        self.connect("late.1", "mobile")
        self.send(2, "bundle")
        self.get(2, "bundle", version=2)
        self.get(2, "bundle", to="late.1", version=2)
        self.get(1, "bundle", to="late.1", version=1)
        self.outcome("delivered", "delivered", "delivered", "disorder")

    def test_a_bundle_behind_its_successor_is_in_disorder(self) -> None:
        self.send(1, "bundle", version=1)
        self.send(2, "bundle", version=2)
        self.get(2, "bundle", version=2)
        self.get(1, "bundle", version=1)
        self.outcome("delivered", "delivered", "disorder")

    def test_a_bundle_waits_until_it_is_known_what_a_phone_has(self) -> None:
        self.connect("new.1", "mobile", patches=True)
        self.send(1, "bundle", version=1)
        self.send(2)
        for to in (PHONE, "new.1"):
            self.get(2, to=to)
            self.get(1, "bundle", to=to, version=1)
        self.outcome(*["delivered"] * 4, "disorder", "has waited")

    def test_it_waits_for_no_later_bundle(self) -> None:
        self.connect("new.1", "mobile", patches=True)
        self.event("close", PHONE, code=1001, reason="")
        self.send(1, "bundle", version=1)
        self.send(2, "bundle", version=2)
        self.get(2, "bundle", to="new.1", version=2)
        self.get(1, "bundle", to="new.1", version=1)
        self.outcome("delivered", "delivered", "disorder")

    def test_a_phone_that_goes_while_a_bundle_waits_for_it(self) -> None:
        self.connect("new.1", "mobile", patches=True)
        self.event("close", PHONE, code=1001, reason="")
        self.send(1, "bundle", version=1)
        self.send(2)
        self.get(2, to="new.1")
        self.event("close", "new.1", code=1001, reason="")
        self.outcome("delivered", "told the receiver")

    def test_a_mixture(self) -> None:
        self.send(1, "bundle", part=1)
        self.get(1, "bundle", whole=False, version=1)
        self.outcome("damaged", "lost")

    def test_in_another_session(self) -> None:
        self.send(1)
        self.get(1)
        self.event("dial", "other.1", role="mobile", session="T", relay="a")
        self.event("open", "other.1")
        self.get(1, to="other.1")
        self.outcome("delivered", "astray")

    def test_who_came_later_need_not_have_it(self) -> None:
        self.send(1)
        self.get(1)
        self.connect("late.1", "mobile")
        self.outcome("delivered")

    def test_half_a_bundle(self) -> None:
        self.send(1, "bundle", part=0.5)
        self.outcome("never whole")

    def test_a_bundle_that_was_replaced(self) -> None:
        self.send(1, "bundle", part=1)
        self.send(2, "bundle", part=1)
        self.get(2, "bundle", version=2)
        self.outcome("delivered", "replaced")

    def test_a_bundle_that_another_sender_has_replaced(self) -> None:
        other = {"n": 1, "kind": "bundle", "part": 1, "version": 2}
        self.connect("second.1", "cli")
        self.event("sent", "second.1", **other)
        self.send(1, "bundle", part=1, version=2)
        self.get(1, "bundle", version=2, **{"from": "second.1"})
        self.outcome("delivered", "replaced")

    def test_old_code_of_another_sender_replaces_nothing(self) -> None:
        other = {"n": 1, "kind": "bundle", "part": 1, "version": 1}
        self.connect("second.1", "cli")
        self.event("sent", "second.1", **other)
        self.send(1, "bundle", part=1, version=2)
        self.get(1, "bundle", version=1, **{"from": "second.1"})
        self.outcome("delivered", "lost")


class ToldTest(CheckerCase):
    def test_the_receiver_was_closed(self) -> None:
        self.send(1)
        self.event("close", PHONE, code=1011, reason="cut short")
        self.outcome("told the receiver")

    def test_the_sender_was_closed(self) -> None:
        self.send(1)
        self.event("close", CLI, code=1006, reason="")
        self.outcome("told the sender")

    def test_a_relay_that_stops_has_delivered_before_it_closes(self) -> None:
        self.send(1)
        self.event("close", CLI, code=1012, reason="The relay restarts")
        self.outcome("lost")

    def test_what_was_not_handed_over_is_not_promised(self) -> None:
        self.event("sent", CLI, n=1, kind="talk")
        self.event("close", CLI, code=1012, reason="The relay restarts")
        self.outcome("told the sender")

    def test_somebody_is_there_again_who_had_not_left(self) -> None:
        self.t_ms += RETURN_MS
        self.send(1)
        self.event("told", CLI, type="mobile_connected", device="phone")
        self.outcome("told the sender")

    def test_a_phone_that_has_just_come_says_nothing_of_losses(self) -> None:
        self.t_ms += RETURN_MS
        self.send(1)
        self.connect("second.1", "mobile")
        self.t_ms -= 500
        self.event("told", CLI, type="mobile_connected", device="second")
        self.outcome("lost")

    def test_a_list_without_the_phone(self) -> None:
        self.event("told", CLI, type="device_list", devices=["another"])
        self.send(1)
        self.event("told", CLI, type="device_list", devices=["another", "phone"])
        self.send(2)
        self.outcome("lost", "told the sender")

    def test_a_list_without_the_phone_that_comes_later(self) -> None:
        self.event("told", CLI, type="device_list", devices=["phone"])
        self.send(1)
        self.event("told", CLI, type="device_list", devices=[])
        self.outcome("told the sender")

    def test_a_phone_that_is_heard_of_afterwards(self) -> None:
        self.t_ms += RETURN_MS
        self.connect("second.1", "mobile")
        self.send(1)
        self.get(1)
        self.event("told", CLI, type="mobile_connected", device="second")
        self.outcome("delivered", "told the sender")

    def test_others_may_hear_of_a_phone_before_it_does(self) -> None:
        self.t_ms += RETURN_MS
        self.send(1)
        self.event("told", CLI, type="mobile_connected", device="second")
        self.event("dial", "second.1", role="mobile", session="S", relay="a")
        self.t_ms -= 1999
        self.event("open", "second.1")
        self.outcome("lost")

    def test_a_phone_that_is_told_of_twice_is_there_again(self) -> None:
        self.event("told", CLI, type="mobile_connected", device="phone")
        self.send(1)
        self.event("told", CLI, type="mobile_connected", device="phone")
        self.outcome("told the sender")

    def test_a_phone_that_was_on_the_list_is_there_again(self) -> None:
        self.event("told", CLI, type="device_list", devices=["phone", "second"])
        self.send(1)
        self.connect("second.1", "mobile")
        self.t_ms -= 500
        self.event("told", CLI, type="mobile_connected", device="second")
        self.outcome("told the sender")

    def test_a_phone_that_had_left_is_new(self) -> None:
        self.event("told", CLI, type="device_list", devices=["phone", "second"])
        self.event("told", CLI, type="mobile_disconnected", device="second")
        self.send(1)
        self.connect("second.1", "mobile")
        self.t_ms -= 500
        self.event("told", CLI, type="mobile_connected", device="second")
        self.outcome("lost")

    def test_the_end_of_a_connection_says_nothing_of_what_was_overtaken(self) -> None:
        self.send(1)
        self.send(2)
        self.get(2)
        self.event("close", PHONE, code=1006, reason="")
        self.event("close", CLI, code=1006, reason="")
        self.outcome("delivered", "lost")

    def test_a_sender_who_had_gone_could_not_be_told_otherwise(self) -> None:
        self.send(1)
        self.send(2)
        self.event("close", CLI, code=1006, reason="")
        self.get(2)
        self.outcome("delivered", "told the sender")

    def test_an_error(self) -> None:
        self.send(1)
        self.event("told", CLI, type="error", text="Mobile device not connected")
        self.outcome("told the sender")

    def test_an_error_of_a_moment_ago(self) -> None:
        self.event("told", CLI, type="error", text="Mobile device not connected")
        self.event("sent", CLI, n=1, kind="talk")
        self.outcome("told the sender")

    def test_an_error_of_long_before(self) -> None:
        self.event("told", CLI, type="error", text="Mobile device not connected")
        self.t_ms += COMPLAINT_MS
        self.send(1)
        self.outcome("lost")

    def test_a_long_time_after(self) -> None:
        self.send(1)
        self.t_ms += 2 * WINDOW_MS
        self.event("close", PHONE, code=1000, reason="")
        self.outcome("lost")


class PatchTest(CheckerCase):
    def test_how_bundles_came(self) -> None:
        for n, how in ((1, "whole"), (2, "patch"), (3, "patch")):
            self.send(n, "bundle", version=n)
            self.get(n, "bundle", version=n, how=how)
        self.outcome("delivered", "delivered", "delivered")
        self.assertEqual(self.history.verdict.ways, {"whole": 1, "patch": 2})

    def test_one_that_does_not_fit_what_the_phone_has(self) -> None:
        self.event("unfit", PHONE, reason="bundle_patch")
        self.outcome("unfit")

    def test_one_of_what_is_kept_no_more(self) -> None:
        self.send(1, "bundle", version=1)
        self.event("refused", CLI, reason="base")
        self.send(2, "bundle", version=1)
        self.get(2, "bundle", version=1)
        self.outcome("delivered", "replaced")

    def test_one_that_is_refused_though_it_is_right(self) -> None:
        self.event("refused", CLI, reason="sha256")
        self.outcome("refused")


class StaleTest(CheckerCase):
    def test_phones_that_run_old_code(self) -> None:
        self.send(1, "bundle", part=1)
        self.get(1, "bundle", version=1)
        self.event("look", CLI, versions={"S": 1})
        self.assertEqual(self.history.stale(), [])
        self.event("look", CLI, versions={"S": 2})
        self.assertEqual(self.history.stale(), ["phone runs version 1 of 2"])
