"""The release before and this one beside each other: in one cluster, and one after the other with
the same state. What they can do together is written in docs/how-to/upgrade.md."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.live.clients import Client, NodeClients
from tests.live.cluster import SECRET, ClusterCase, owner_in
from tests.live.harness import together
from tests.live.processes import REPOSITORY, RelayProcess, within_patience
from tests.live.redis import RedisProcess
from tests.live.release_before import RELEASE_BEFORE, missing_release, release_before
from tests.live.test_cluster import pause

CHARS = 1_200_000
KEY = "0123456789abcdef0123456789abcdef"
OTHER_KEY = "fedcba9876543210fedcba9876543210"
TOKEN = "the-operator-of-these-tests"
ACK: dict[str, Any] = {"type": "bundle_ack", "success": True}
LOG: dict[str, Any] = {"type": "console_log", "payload": {"level": "log", "args": ["é"]}}


def hash_of(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


class MixedCase(ClusterCase):
    """Relays of both releases."""

    skip = ClusterCase.skip or missing_release()

    async def of(self, is_new: bool, *options: str) -> RelayProcess:
        """A relay of this release, or of the one before."""
        listen = ("--listen", "tcp:0:interface=127.0.0.1")
        checkout = REPOSITORY if is_new else release_before()
        relay = RelayProcess([*listen, *options], checkout=checkout)
        self.addCleanup(relay.stop)
        await relay.listening()
        commit = (await relay.get("/health")).json()["commit"]
        self.assertEqual(commit == RELEASE_BEFORE[:7], not is_new, "not the release it is to be")
        return relay

    async def member_of(
        self, redis: RedisProcess, name: str, is_new: bool, *options: str
    ) -> RelayProcess:
        """One that shares its sessions."""
        shared = ("--redis", redis.url, "--node", name, "--cluster-secret", SECRET)
        return await self.of(is_new, *shared, "--admin-token", TOKEN, *options)

    async def stop(self, relay: RelayProcess, how: str = "TERM") -> None:
        relay.child.signal(how)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        for sign in ("Traceback", "Unhandled", "cut short", "does not take it over"):
            self.assertNotIn(sign, relay.log + relay.child.err)

    async def phone(
        self, node: NodeClients, relay: RelayProcess, session: str, name: str, more: str = ""
    ) -> Client:
        query = f"deviceId={name}&name={name}&agent=phones/1" + more
        return await self.join(node, relay, "mobile", session, query)

    async def works(
        self, cli: Client, phones: dict[str, Client], is_named: bool, chunked: bool = False
    ) -> str:
        """A bundle and its acknowledgements, logs, and what the CLI asks for. Returns the SHA-256
        of the code."""
        for client in (cli, *phones.values()):
            await client.settle()
        sent = await cli.push_filler(CHARS + chunked, chunked)
        for phone in phones.values():
            self.assertEqual((await phone.bundle()).code, sent.code)
            await phone.send(ACK)
        acks = [(await cli.expect("bundle_ack")).data for _ in phones]
        self.assertTrue(all(ack["success"] for ack in acks), acks)
        names = sorted(ack.get("deviceName", "") for ack in acks)
        self.assertEqual(names, sorted(phones) if is_named else [""] * len(phones))
        for phone in phones.values():
            await phone.send(LOG)
            self.assertEqual((await cli.expect("console_log")).data, LOG)
        await cli.send({"type": "reload"})
        for phone in phones.values():
            await phone.expect("reload")
        return sent.code.sha256


class PairCase(MixedCase):
    """One relay of each release, with the same Redis."""

    async def pair(self, owner_is_new: bool) -> tuple[RedisProcess, RelayProcess, RelayProcess]:
        """Redis, the relay that is to have sessions, called a, and the other one, b."""
        redis = await self.redis()
        owner, other = await together(
            self.member_of(redis, "a", owner_is_new), self.member_of(redis, "b", not owner_is_new)
        )
        for relay in (owner, other):
            while (await relay.get("/health")).json()["cluster"]["nodes"] < 2:
                await pause(0.05)
        return redis, owner, other


class SessionTest(PairCase):
    """A session that either of them has."""

    async def one_session(self, owner_is_new: bool, cli_is_there: bool) -> None:
        redis, owner, other = await self.pair(owner_is_new)
        new, old = (owner, other) if owner_is_new else (other, owner)
        node = await self.node(owner)
        near = await self.phone(node, owner, "ABC234", "near")
        self.assertEqual(owner_in(redis), "a")
        cli_relay = owner if cli_is_there else other
        cli = await self.join(node, cli_relay, "cli", "ABC234", "acks=1&agent=cli/1")
        far = await self.phone(node, other, "ABC234", "far")
        phones = {"near": near, "far": far}
        # Who asked is known where it has connected, and to the owner.
        is_named = owner_is_new and cli_is_there
        await self.works(cli, phones, is_named)
        sha256 = await self.works(cli, phones, is_named, chunked=True)
        for relay in (owner, other):
            reply = await relay.get("/bundles/ABC234")
            self.assertEqual(hashlib.sha256(reply.body.encode()).hexdigest(), sha256)
        late = await self.phone(node, other, "ABC234", "late", "&replay=1")
        self.assertEqual((await late.bundle()).code, (await near_code(near)))
        await self.session_page(new, old, owner_is_new, cli_is_there)
        await self.goes(cli, far, await self.join(node, other, "dashboard"))
        await self.operator_closes(owner, near, late)

    async def session_page(
        self, new: RelayProcess, old: RelayProcess, owner_is_new: bool, cli_is_there: bool
    ) -> None:
        """What the page of a session asks is answered where the session's relay knows it."""
        fields = {"AppTuner-Session": hash_of("ABC234")}
        reply = await new.get("/session/state", headers=fields)
        self.assertEqual((await old.get("/session/state", headers=fields)).status, 404)
        if not owner_is_new:
            self.assertEqual(reply.status, 503, reply)
            self.assertIn("earlier version", reply.json()["error"])
            self.assertIn("retry-after", reply.headers)
            return
        self.assertEqual(reply.status, 200, reply)
        state = reply.json()
        agents = {one["name"]: one["agent"] for one in state["clients"] if one["name"]}
        # The release before doesn't say what the clients are that it brings.
        self.assertEqual(agents, {"near": "phones/1", "far": None, "late": None})
        (chunks, whole) = state["bundles"]
        self.assertEqual((chunks["form"], whole["form"]), ("chunks", "whole"))
        answered = {one["name"]: one["state"] for one in whole["phones"]}
        self.assertEqual(answered, {"near": "acknowledged", "far": "acknowledged"})
        self.assertEqual(
            [one["agent"] for one in state["clients"] if one["role"] == "cli"],
            ["cli/1" if cli_is_there else None],
        )

    async def goes(self, cli: Client, far: Client, page: Client) -> None:
        """Who leaves is missed."""
        await far.close()
        left = (await cli.expect("mobile_disconnected")).data
        self.assertEqual((left["deviceId"], left["deviceName"]), ("far", "far"))
        await cli.close()
        await page.expect("cli_disconnected")
        await page.close()

    async def operator_closes(self, owner: RelayProcess, *phones: Client) -> None:
        """Also those that are connected to the other relay."""
        reply = await owner.get(
            f"/api/sessions/{hash_of('ABC234')[:8]}/close",
            "POST",
            {"Authorization": f"Bearer {TOKEN}"},
        )
        self.assertEqual(reply.status, 200, reply)
        for phone in phones:
            self.assertEqual((await phone.closed())[0], 1000)

    async def test_the_new_one_has_it_and_the_cli(self) -> None:
        await self.one_session(True, True)

    async def test_the_new_one_has_it_and_the_old_one_the_cli(self) -> None:
        await self.one_session(True, False)

    async def test_the_old_one_has_it_and_the_cli(self) -> None:
        await self.one_session(False, True)

    async def test_the_old_one_has_it_and_the_new_one_the_cli(self) -> None:
        await self.one_session(False, False)

    async def claims(self, first_is_new: bool) -> None:
        _, first, second = await self.pair(first_is_new)
        node = await self.node(first)
        await self.join(node, first, "cli", "ABC234", f"key={KEY}")
        wrong = second.url("cli", "ABC234", f"key={OTHER_KEY}")
        self.assertEqual((await node.refused("cli", "ABC234", url=wrong)).status, 403)
        without = second.url("desktop", "ABC234")
        self.assertEqual((await node.refused("desktop", "ABC234", url=without)).status, 401)
        page = await self.join(node, second, "desktop", "ABC234", f"key={KEY}")
        phone = await self.phone(node, second, "ABC234", "phone")
        await phone.send(LOG)
        await page.expect("console_log")

    async def test_claims_of_the_old_one_at_the_new_one(self) -> None:
        await self.claims(False)

    async def test_claims_of_the_new_one_at_the_old_one(self) -> None:
        await self.claims(True)


class MoveTest(PairCase):
    """A rolling upgrade, and the way back: who stops hands its sessions over."""

    async def moves(self, first_is_new: bool) -> None:
        redis, first, second = await self.pair(first_is_new)
        node = await self.node(first)
        here = await self.phone(node, first, "ABC234", "here")
        cli = await self.join(node, first, "cli", "ABC234", "acks=1")
        stays = await self.phone(node, second, "ABC234", "stays")
        await self.works(cli, {"here": here, "stays": stays}, first_is_new)
        kept = await self.works(cli, {"here": here, "stays": stays}, first_is_new, chunked=True)

        await self.stop(first)
        self.assertEqual(owner_in(redis), "b")
        for client in (cli, here):
            self.assertEqual((await client.closed())[0], 1012)
        self.assertFalse(stays.is_closed)
        cli = await self.join(node, second, "cli", "ABC234", "acks=1")
        here = await self.phone(node, second, "ABC234", "here", "&replay=1")
        self.assertEqual((await here.bundle()).code.sha256, kept)
        await self.works(cli, {"here": here, "stays": stays}, not first_is_new)

        # And back, to one of the release that has stopped.
        third = await self.member_of(redis, "c", first_is_new)
        stays_too = await self.phone(node, third, "ABC234", "third")
        kept = await self.works(
            cli, {"here": here, "stays": stays, "third": stays_too}, not first_is_new
        )
        await self.stop(second)
        self.assertEqual(owner_in(redis), "c")
        self.assertFalse(stays_too.is_closed)
        reply = await third.get("/bundles/ABC234", "HEAD")
        self.assertIn(kept, reply.headers["etag"])
        cli = await self.join(node, third, "cli", "ABC234", "acks=1")
        await self.works(cli, {"third": stays_too}, first_is_new)
        if first_is_new:
            await self.records(third)

    async def records(self, relay: RelayProcess) -> None:
        """Those of the release before come without, and the session's begin anew."""
        fields = {"AppTuner-Session": hash_of("ABC234")}
        state = (await relay.get("/session/state", headers=fields)).json()
        self.assertEqual([row["state"] for row in state["bundles"]], ["whole"], state)

    async def test_to_the_new_one_and_back(self) -> None:
        await self.moves(False)

    async def test_to_the_old_one_and_back(self) -> None:
        await self.moves(True)


class KilledTest(PairCase):
    """What one release does when a relay of the other is killed."""

    async def is_killed(self, is_new: bool) -> RelayProcess:
        redis, owner, other = await self.pair(is_new)
        node = await self.node(owner)
        here = await self.join(node, owner, "dashboard")
        cli = await self.join(node, other, "cli", "ABC234", "acks=1")
        phone = await self.phone(node, other, "ABC234", "phone")
        self.assertEqual(owner_in(redis), "a")
        await self.stop(owner, "KILL")
        await here.closed()
        await cli.expect("mobile_connected")
        await self.works(cli, {"phone": phone}, not is_new)
        self.assertEqual(owner_in(redis), "b")
        return other

    async def test_the_new_one_does_not_wait_for_the_lease_of_the_old_one(self) -> None:
        new = await self.is_killed(False)
        self.assertIn("relay a: has ended", new.log)

    async def test_the_old_one_waits_for_the_lease_of_the_new_one(self) -> None:
        await self.is_killed(True)


class StateTest(MixedCase):
    """A relay alone: the next one, of the other release, has the same directories."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).resolve()
        self.spool = Path(self.mktemp()).resolve()
        self.options = ("--state-dir", str(self.state), "--spool-dir", str(self.spool))

    async def one_run(self, is_new: bool, bundles: int, how: str = "TERM") -> None:
        """It knows the claim, and what the day had until then."""
        relay = await self.of(is_new, *self.options)
        node = await self.node(relay)
        if bundles:
            today = (await relay.get("/api/status")).json()["today"]
            self.assertEqual(today["bundles"], bundles)
            refused = await node.refused("cli", "ABC234", f"key={OTHER_KEY}")
            self.assertEqual(refused.status, 403)
        cli = await node.join("cli", "ABC234", f"key={KEY}")
        phone = await self.phone(node, relay, "ABC234", "phone")
        await self.works(cli, {"phone": phone}, False)
        await node.stop()
        # Files are those of this relay alone.
        self.assertEqual(len(list(self.spool.iterdir())), 1)
        await self.stop(relay, how)
        self.assertFalse(list(self.state.glob("*.bad")), relay.log)
        for word in ("malformed", "not saved", "not kept", "not a day file"):
            self.assertNotIn(word, relay.log)

    async def there_and_back(self, first_is_new: bool) -> None:
        await self.one_run(first_is_new, 0)
        before = self.days()
        await self.one_run(not first_is_new, 1)
        await self.one_run(first_is_new, 2)
        (today,) = self.days().values()
        self.assertEqual(today["bundles"], 3)
        # The release before counts no reloads, and writes only what it knows.
        self.assertEqual(today.get("reloads"), 1 if first_is_new else None)
        self.assertEqual(today.keys(), next(iter(before.values())).keys())

    def days(self) -> dict[str, Any]:
        days: dict[str, Any] = json.loads((self.state / "days.json").read_text())["days"]
        return days

    async def test_from_the_old_one_to_the_new_one_and_back(self) -> None:
        await self.there_and_back(False)

    async def test_from_the_new_one_to_the_old_one_and_back(self) -> None:
        await self.there_and_back(True)

    async def test_what_was_killed_leaves_nothing_in_the_spool(self) -> None:
        for is_new in (False, True, False):
            relay = await self.of(is_new, "--spool-dir", str(self.spool))
            self.assertEqual(len(list(self.spool.iterdir())), 1, "the last one's is there")
            await self.stop(relay, "KILL")


async def near_code(phone: Client) -> Any:
    """The code of the last bundle that it has got."""
    return [message.code for message in phone.seen if message.code is not None][-1]
