"""`apptuner_relay.relay.member_context`: what is made of it for each member."""

import dataclasses
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay import member_context
from apptuner_relay.session.session import Arrival, Role, session_hash
from tests.memory import Relay
from tests.spool.cases import Spooled, sha256

CODE = "console.log(1)"


class Deliveries(Spooled):
    def test_who_has_the_cached_bundle_already_is_told_so(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, CODE)
        self.relay.wait(1)
        phone = self.connect("mobile", f"replay=1&have={sha256(CODE)}")
        self.relay.wait(1)
        self.assertIn("bundle_unchanged", phone.types())

    def test_who_wants_urls_gets_one(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, CODE)
        self.relay.wait(1)
        phone = self.connect("mobile", "replay=1&announce=1")
        self.relay.wait(1)
        (told,) = (one for one in phone.received() if one["type"] == "bundle_available")
        self.assertIn("/bundles/ABC234", told["url"])


class Arrivals(SynchronousTestCase):
    def test_what_a_phone_had_counts_only_when_it_connects(self) -> None:
        # One that moves here may have got other code since.
        made: list[Any] = []
        delivery = member_context.Delivery

        def make(*arguments: Any) -> Any:
            made.append(arguments)
            return delivery(*arguments)

        self.patch(member_context, "Delivery", make)
        relay = Relay()
        relay.connect(f"/mobile/ABC234?have={'0' * 64}")
        (phone,) = relay.service.clients
        for arrival in Arrival:
            admission = relay.service.admit(Role.MOBILE, "ABC234", f"have={'0' * 64}")
            moved = dataclasses.replace(admission, arrival=arrival)
            relay.service.registry.join(moved, phone.connection)
        self.assertEqual([one[1] for one in made], [session_hash("ABC234")] * 4)
        self.assertEqual([one[6] for one in made], ["0" * 64, "0" * 64, None, None])
