"""``/api/claims``: how an operator lists, releases, exports and imports claims. Sessions are named
by their hashes; ids and secrets are neither shown nor accepted. A proof is a public key, which lets
nobody in.
"""

import json
import re
from collections import Counter
from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.access.claim_register import (
    ClaimRegister,
    KeptClaim,
    Outcome,
    RegisterUnavailable,
)
from apptuner_relay.access.claims import Claim
from apptuner_relay.operator.audit import DONE
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.web.guard import Guard
from apptuner_relay.web.json_body import ErrorResource, JsonResource, write_json

IMPORT_PATH = b"/api/claims/import"
MOST_BODY_BYTES = 1024 * 1024
"""Of one import: some 5,000 claims."""
IN_USE_S = 150.0
"""Relays renew a claim every minute while somebody with the secret is there. One that was used less
than this ago may be in use at another relay."""

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_SESSION = re.compile(r"[0-9a-f]{64}")
_PROOF = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_MS = 10**15
_OFF = "This relay takes no claims (--claims off)"


class ClaimsParts:
    """What the resources below share.

    :param register: None where the relay takes no claims.
    """

    log = Logger()

    def __init__(self, relay: RelayService, register: ClaimRegister | None, guard: Guard) -> None:
        self.relay = relay
        self.guard = guard
        self._register = register

    @property
    def register(self) -> ClaimRegister:
        """The claims.

        :raises BadRequest: 409, there are none.
        """
        if self._register is None:
            raise BadRequest(409, _OFF)
        return self._register

    def members_of(self, session: str) -> int:
        """How many clients are connected to this relay, or are in a session here, that have shown
        the secret of the session or a token of it."""
        known = set(self.relay.clients)
        here = self.relay.sessions.get(session)
        if here is not None:
            known |= set(here.members)
        return sum(
            one.admission.session_hash == session and one.admission.authorized for one in known
        )

    def is_in_use(self, one: KeptClaim) -> bool:
        """Whether somebody with the secret is there, as far as is known here."""
        shared = self.register.kept_in == "redis"
        return bool(self.members_of(one.session)) or (shared and one.idle_s < IN_USE_S)

    async def find(self, prefix: str) -> KeptClaim:
        """The claim of the one session whose hash begins with ``prefix``.

        :raises BadRequest: 400 for a malformed prefix, 404 for no claim, 409 for several.
        """
        if not _PREFIX.fullmatch(prefix):
            raise BadRequest(400, "Name a session by 4 to 64 lower-case hex digits of its hash")
        found: dict[str, KeptClaim] = {}
        cursor: str | None = None
        while True:
            page = await self.register.page(cursor, prefix)
            found |= {one.session: one for one in page.claims}
            cursor = page.cursor
            if cursor is None or len(found) > 1:
                break
        if not found:
            raise BadRequest(404, f"No session {prefix} is claimed")
        if len(found) > 1:
            raise BadRequest(409, f"Several claimed sessions begin with {prefix}: say more digits")
        return next(iter(found.values()))

    def answer(self, request: Request, work: Awaitable[object]) -> int:
        """Answer with the JSON that ``work`` comes to, or with what it raises."""
        ended: list[Failure | None] = []
        request.notifyFinish().addErrback(ended.append)

        def done(result: object) -> None:
            status = 200
            if isinstance(result, Failure):
                status, result = self._refused(result)
            if not ended:
                request.write(write_json(request, result, status))
                request.finish()

        Deferred.fromCoroutine(work).addBoth(done)  # type: ignore[arg-type]
        return NOT_DONE_YET

    def _refused(self, failure: Failure) -> tuple[int, object]:
        if failure.check(RegisterUnavailable):
            return 503, {"error": str(failure.value)}
        if isinstance(failure.value, BadRequest):
            return failure.value.status, {"error": str(failure.value)}
        self.log.failure("claims could not be listed or changed", failure)
        return 500, {"error": "The relay has failed to do it"}


class ClaimsResource(JsonResource):
    """``{"claims":[{"session":"1f2e3d4c","tokens":false,"used_ms":…,"expires_ms":…,"in_use":true}],
    "next":null,"kept_in":"memory","bad_lines":0}``, a page at a time: ``?after=`` takes what
    ``next`` was. With ``?session=1f2e3d4c`` those whose session begins with that. With ``?full=1``
    each has its ``hash`` and ``proof`` as well."""

    def __init__(self, parts: ClaimsParts) -> None:
        super().__init__()
        self._parts = parts
        self.putChild(b"import", ImportResource(parts))

    def getChild(self, path: bytes, request: Request) -> Resource:
        if not path:
            return ErrorResource(404, "Not found")
        claim = ErrorResource(404, "Not found: only POST …/release is here")
        claim.isLeaf = False
        claim.putChild(b"release", ReleaseResource(self._parts, path.decode("ascii", "replace")))
        return claim

    def render_GET(self, request: Request) -> int:
        return self._parts.answer(request, self._list(request))

    async def _list(self, request: Request) -> object:
        parts, prefix = self._parts, _argument(request, b"session")
        if prefix and not _PREFIX.fullmatch(prefix):
            raise BadRequest(400, "session is 4 to 64 lower-case hex digits of a hash")
        register = parts.register
        try:
            page = await register.page(_argument(request, b"after") or None, prefix)
        except ValueError as wrong:
            raise BadRequest(400, f"after: {wrong}") from None
        is_full = _argument(request, b"full") == "1"
        file = parts.relay.meters.claims_file
        return {
            "claims": [self._row(one, is_full) for one in page.claims],
            "next": page.cursor,
            "kept_in": register.kept_in,
            "not_kept": None if file is None else file.trouble,
            "bad_lines": 0 if file is None else file.bad_lines,
        }

    def _row(self, one: KeptClaim, is_full: bool) -> dict[str, object]:
        parts = self._parts
        used_s = parts.relay.wall_s() - one.idle_s
        row: dict[str, object] = {
            "session": one.session[:8],
            "tokens": one.claim.tokens,
            "used_ms": in_ms(used_s),
            "expires_ms": in_ms(used_s + parts.register.ttl_s),
            "in_use": parts.is_in_use(one),
        }
        return row | {"hash": one.session, "proof": one.claim.proof} if is_full else row


class ReleaseResource(JsonResource):
    """Forgets the claim of a session. Closes nobody: who is there stays. While somebody with the
    secret is there it is refused, unless ``?force=1`` is said: they would claim the session again
    when they connect again."""

    def __init__(self, parts: ClaimsParts, prefix: str) -> None:
        super().__init__()
        self._parts, self._prefix = parts, prefix

    def render_POST(self, request: Request) -> int:
        return self._parts.answer(request, self._release(request))

    async def _release(self, request: Request) -> object:
        try:
            return await self._try(request)
        except (BadRequest, RegisterUnavailable) as wrong:
            self._parts.guard.audit(request, "release claim", f"refused: {wrong}")
            raise

    async def _try(self, request: Request) -> object:
        parts = self._parts
        claim = await parts.find(self._prefix)
        label, is_in_use = claim.session[:8], parts.is_in_use(claim)
        if is_in_use and _argument(request, b"force") != "1":
            count = parts.members_of(claim.session)
            who = f"{count} clients with its secret or a token are connected"
            if not count:
                who = "somebody with its secret was there within the last minutes"
            raise BadRequest(
                409,
                f"Session {label} is in use: {who}, and would claim it again. Close it first, or "
                "force it",
            )
        if not await parts.register.release(claim.session):
            raise BadRequest(404, f"No session {self._prefix} is claimed")
        told = f"{DONE}, while it was in use" if is_in_use else DONE
        parts.guard.audit(request, "release claim", told, label)
        return {"session": label, "released": True, "in_use": is_in_use}


class ImportResource(JsonResource):
    """Adds the claims in the body: lines of JSON, as ``{"session":HASH,"proof":…,"tokens":false,
    "used_ms":…}``. A claim that conflicts with the session's own is left out, unless
    ``?replace=1`` is said. Answers with how many came to what."""

    def __init__(self, parts: ClaimsParts) -> None:
        super().__init__()
        self._parts = parts

    def render_POST(self, request: Request) -> int:
        return self._parts.answer(request, self._import(request))

    async def _import(self, request: Request) -> object:
        try:
            return await self._try(request)
        except (BadRequest, RegisterUnavailable) as wrong:
            self._parts.guard.audit(request, "import claims", f"refused: {wrong}")
            raise

    async def _try(self, request: Request) -> object:
        parts = self._parts
        body = request.content.read() if request.content is not None else b""
        claims = read_export(body, parts.relay.wall_s())
        register = parts.register
        outcomes = await register.take_in(claims, _argument(request, b"replace") == "1")
        counts = Counter(outcomes)
        result: dict[str, object] = {one.value: counts[one] for one in Outcome}
        result["conflicts"] = [
            claim.session[:8]
            for claim, outcome in zip(claims, outcomes, strict=True)
            if outcome is Outcome.CONFLICTING
        ]
        told = ", ".join(f"{count} {one.value}" for one, count in counts.most_common())
        parts.guard.audit(request, "import claims", f"{DONE}, {told or 'none'}")
        return result


def read_export(body: bytes, now_s: float) -> list[KeptClaim]:
    """The claims of an export: lines of JSON.

    :param now_s: the time of day, in seconds since the epoch.
    :raises BadRequest: 400, a line is none of a claim; nothing is taken then.
    """
    found = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            session, proof, tokens = row["session"], row["proof"], row["tokens"]
            used_ms = row["used_ms"]
            if not (
                _SESSION.fullmatch(session)
                and _PROOF.fullmatch(proof)
                and isinstance(tokens, bool)
                and type(used_ms) is int
                and 0 <= used_ms < _MOST_MS
            ):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise BadRequest(400, f"Line {number} is no exported claim") from None
        idle_s = max(0.0, now_s - used_ms / 1000)
        found.append(KeptClaim(session, Claim(proof, tokens), idle_s))
    return found


def _argument(request: Request, name: bytes) -> str:
    values = request.args.get(name, [b""])
    return str(values[0].decode("utf-8", "replace"))
