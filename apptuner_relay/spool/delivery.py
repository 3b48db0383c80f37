"""Delivers a session's bundles to one phone: the phone follows each from its beginning, is told of
it, or gets another message in its place: that it has this code already, or a patch of what it has.

The newest bundle supersedes those of which the phone hasn't got anything yet. For a phone that said
which bundle it has (``have=``), the first one is held until its content address is known. For one
that takes patches, so is every one that comes while the relay knows what the phone has.
"""

from collections.abc import Callable
from functools import partial

from twisted.python.failure import Failure

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.follower_states import FollowerEnd
from apptuner_relay.operator.phone_record import DeliverySource, PhoneForm
from apptuner_relay.spool.bundle import Digest, NoCode
from apptuner_relay.spool.bundle_log import BundleLog, BundlePhone
from apptuner_relay.spool.recorded_delivery import RecordedDelivery
from apptuner_relay.spool.remembered_bundles import RememberedBundles
from apptuner_relay.spool.store import Store
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR, TEXT, frame

_KEPT = DeliverySource.KEPT
LOST = "a message was cut short: the relay can't keep it"


class Delivery:
    """The bundles of one phone.

    :param store: where bundles are cached, if they are.
    :param tell: sends the phone a message of the relay's own.
    :param recorded: writes what becomes of the bundles into their records.
    :param have: the SHA-256 of the code that the phone says it has.
    :param announce: for a phone that wants to be told of bundles instead of getting them: the URL
        of its session's bundles, with the phone's credentials as a query.
    :param patches: whether it takes patches, and keeps what it gets as their base.
    :param on_compressed: called when the phone has got all of a compressed bundle, with the bytes
        by which that is smaller than inflated.
    :param on_patched: called when the phone is sent a patch, with its size and that of the code
        that it makes, in bytes.
    """

    def __init__(
        self,
        store: Store | None,
        session_hash: str,
        phone: BundlePhone,
        tell: Callable[[bytes], None],
        now_ms: Callable[[], int],
        recorded: RecordedDelivery,
        have: str | None = None,
        announce: str | None = None,
        patches: bool = False,
        on_compressed: Callable[[int], None] = lambda saved: None,
        on_patched: Callable[[int, int], None] = lambda size, whole: None,
    ) -> None:
        self._store = store
        self._session_hash = session_hash
        self._phone = phone
        self._tell = tell
        self._now_ms = now_ms
        self.recorded = recorded
        self._have = have
        self._announce = announce
        self._patches = store.patches if store is not None and patches and not announce else None
        if store is not None and self._patches is not None:
            store.keep_previous(session_hash, True)
        self._on_compressed = on_compressed
        self._on_patched = on_patched
        self._newest: BundleLog | None = None
        self._following: dict[Follower, BundleLog] = {}
        self._begun = RememberedBundles()
        """The bundles of which it has got a part: it gets none of them again."""
        self._unlabelled = RememberedBundles()
        """Those that it may not run, though it gets all of them."""
        self._got: BundleLog | None = None
        """The last bundle that it got all of, or was told of."""
        self._has_any = False
        """Whether it has got a part of any bundle, or was told of one."""
        self._owed = False
        """Whether it is to get the cached bundle if the newest one is cut short."""
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether the phone is getting a bundle, or is to be told of one."""
        return self._is_to_be_told or any(not one.is_idle for one in self._following)

    @property
    def is_getting(self) -> bool:
        """Whether the phone gets a bundle, or waits for its turn."""
        return bool(self._following)

    @property
    def is_waiting(self) -> bool:
        """Whether the phone has got nothing of any bundle, and gets none now: it waits for one that
        is yet to begin."""
        is_getting = bool(self._following) or self._newest is not None
        return not (self._closed or self._has_any or is_getting)

    @property
    def is_inside_compressed(self) -> bool:
        """Whether it has got part of a compressed bundle, and not all of it."""
        return any(
            follower.offset and bundle.is_compressed_for(self._phone)
            for follower, bundle in self._following.items()
        )

    def arrive(self) -> None:
        """The phone has joined late, or asks for a replay, or whoever would have sent it a bundle
        has gone: it gets the cached bundle, or follows the one that is growing."""
        self._owed = True
        bundle = self._what_there_is()
        if bundle is not None:
            self._begin(bundle)

    def deliver(self, bundle: BundleLog) -> None:
        """Deliver a bundle that begins."""
        # If this is cut short, the phone is to get what this supersedes.
        self._owed = self.busy
        self._begin(bundle, DeliverySource.LIVE)

    def send_again(self) -> bool:
        """Somebody asks that the phone get the session's bundle again, whole, whatever it has.
        Returns whether there is one, which may be on its way already."""
        bundle = None if self._closed else self._what_there_is()
        if bundle is None:
            return False
        if bundle not in self._following.values() and not (
            bundle is self._newest and self._is_to_be_told
        ):
            self._have = None
            if self._got is bundle:
                self._got = None
            self._owed = self.busy
            self._begin(bundle)
        return True

    def close(self, why: str) -> None:
        """End: the phone has disconnected, or its session has moved to another relay."""
        if self._store is not None and self._patches is not None and not self._closed:
            self._store.keep_previous(self._session_hash, False)
        self._closed = True
        self._newest = None
        following, self._following = self._following, {}
        for follower, bundle in following.items():
            if bundle.is_cut:
                # That is why the phone is closed.
                self.recorded.cut(bundle)
            follower.leave()
        self.recorded.closed(why)

    def want_whole(self) -> bool:
        """The phone could not apply a patch: it gets the newest bundle whole. Returns whether there
        is one."""
        if self._patches is None:
            return False
        self._have = None
        bundle = self._what_there_is()
        if bundle is None:
            return False
        on_its_way = [one for one, its in self._following.items() if its is bundle]
        for follower in on_its_way:
            self._release(bundle, follower)
        if not on_its_way:
            is_recorded = self.recorded.wants_whole(bundle)
            self._begin(bundle, None if is_recorded else _KEPT)
        return True

    def outdate(self) -> None:
        """The phone has got other code in a way that isn't known: it has nothing to be patched."""
        if self._patches is None:
            return
        self._have = None
        # Whichever of the two it runs in the end.
        self._unlabelled.update(self._following.values())
        for follower in tuple(self._following):
            follower.release()

    @property
    def _is_to_be_told(self) -> bool:
        newest = self._newest
        return self._announce is not None and newest is not None and newest is not self._got

    def _what_there_is(self) -> BundleLog | None:
        store, session = self._store, self._session_hash
        if store is None:
            return None
        file = store.growing(session) or store.last(session)
        bundle = None if file is None else file.content
        return bundle if isinstance(bundle, BundleLog) and bundle.can_be_had else None

    def _begin(self, bundle: BundleLog, source: DeliverySource | None = _KEPT) -> None:
        """Begin to deliver ``bundle``.

        :param source: None where it is recorded already that the phone is to get it.
        """
        self._note_what_has_begun()
        self._phone.reception.promise(bundle)
        self._newest = bundle
        for earlier in tuple(self._following):
            earlier.supersede()
        if source is not None:
            self.recorded.waits(bundle, source)
        have, sent = self._have, bundle.patch
        if self._patches is None:
            self._have = None
        elif sent is not None and sent.base == have:
            self._patched(bundle, have, self._follow(bundle, False), sent.digest, sent.message)
            return
        if bundle.file is None or (self._announce is None and have is None):
            self._follow(bundle)
            return
        follower = None if self._announce else self._follow(bundle, is_ready=False)
        bundle.file.retain()
        known = partial(self._digested, bundle, have, follower)
        bundle.file.digest().addCallbacks(known, partial(self._not_digested, bundle, follower))

    def _digested(
        self, bundle: BundleLog, have: str | None, follower: Follower | None, digest: Digest
    ) -> None:
        assert bundle.file is not None
        bundle.file.release()
        if self._needs_no_more(bundle, follower):
            return
        if follower is None:
            self._announced(bundle, have, digest)
        elif digest.sha256 == have:
            unchanged = messages.bundle_unchanged(digest.sha256, self._now_ms())
            self._send_instead(bundle, follower, unchanged, have, PhoneForm.UNCHANGED)
        elif have is not None and self._patches is not None:
            patched = partial(self._patched, bundle, have, follower, digest)
            patch = self._patches.patch(have, bundle.file, self._now_ms())
            patch.addCallbacks(patched, partial(self._not_patched, bundle, follower))
        else:
            self._release(bundle, follower)

    def _patched(
        self, bundle: BundleLog, have: str, follower: Follower, digest: Digest, patch: bytes
    ) -> None:
        if self._needs_no_more(bundle, follower):
            return
        if self._send_instead(bundle, follower, patch, have, PhoneForm.PATCH):
            self._have = digest.sha256
            self._on_patched(len(patch), digest.size)

    def _not_patched(self, bundle: BundleLog, follower: Follower, failure: Failure) -> None:
        failure.trap(NoCode)
        self._release(bundle, follower)

    def _release(self, bundle: BundleLog, follower: Follower) -> None:
        """The phone gets ``bundle`` whole, after all."""
        if not follower.is_over:
            bundle.need()
        follower.release()

    def _send_instead(
        self,
        bundle: BundleLog,
        follower: Follower,
        message: bytes,
        have: str | None,
        form: PhoneForm,
    ) -> bool:
        """Send ``message`` in the place of ``bundle`` to a phone that has ``have``. Returns whether
        it still has."""
        if self._patches is not None and self._have != have:
            # It has asked for the whole.
            return False
        self.recorded.sent_instead(bundle, form, len(message))
        follower.send_instead(frame(TEXT, message))
        return True

    def _announced(self, bundle: BundleLog, have: str | None, digest: Digest) -> None:
        self._owed = False
        self._got = bundle
        self._has_any = True
        self._phone.reception.ended(bundle)
        if digest.sha256 == have:
            message = messages.bundle_unchanged(digest.sha256, self._now_ms())
            form = PhoneForm.UNCHANGED
        else:
            base, mark, query = (self._announce or "").partition("?")
            url = f"{base}/{digest.sha256}{mark}{query}"
            message = messages.bundle_available(url, digest.sha256, digest.size, self._now_ms())
            form = PhoneForm.ANNOUNCED
        self.recorded.sent_instead(bundle, form, len(message))
        self._tell(message)

    def _not_digested(self, bundle: BundleLog, follower: Follower | None, failure: Failure) -> None:
        failure.trap(NoCode)
        assert bundle.file is not None
        bundle.file.release()
        if self._needs_no_more(bundle, follower):
            return
        if follower is not None:
            if not bundle.is_cut:
                self._release(bundle, follower)
        elif bundle.can_be_had:
            self._follow(bundle)
        elif not bundle.is_cut:
            self.recorded.cut(bundle, LOST)
            self._phone.sink.cut(CLOSE_INTERNAL_ERROR, LOST)
        else:
            self._newest = None
            self.recorded.cut(bundle)
            self._fall_back(bundle)

    def _needs_no_more(self, bundle: BundleLog, follower: Follower | None) -> bool:
        """Whether the answer about ``bundle``'s content address comes too late."""
        if self._newest is not bundle or bundle is self._got:
            return True
        if follower is not None:
            return follower not in self._following
        # The content address was asked for twice.
        return bundle in self._following.values()

    def _follow(self, bundle: BundleLog, is_ready: bool = True) -> Follower:
        log = bundle.take(self._phone)
        begun = partial(self.recorded.begun, bundle)
        follower = Follower(self._phone.sink, log, self._over, is_ready, begun)
        if follower.is_over:
            self.recorded.cut(bundle)
            self._fall_back(bundle)
        else:
            self._following[follower] = bundle
            self._phone.sink.follow(follower)
            if is_ready:
                bundle.need()
        return follower

    def _over(self, follower: Follower, how: FollowerEnd) -> None:
        bundle = self._following.get(follower)
        if bundle is None:
            # This was closed.
            return
        self._note_what_has_begun()
        del self._following[follower]
        self.recorded.ended(bundle, follower, how)
        newest = self._newest
        if how is FollowerEnd.WHOLE:
            self._phone.reception.ended(bundle)
            self._got = bundle
            self._has_any = True
            if bundle is newest:
                self._owed = False
            if follower.offset and bundle.is_compressed_for(self._phone):
                self._on_compressed(bundle.saved_bytes(follower.log))
            if follower.offset and self._patches is not None:
                self._got_whole(bundle)
        if how is FollowerEnd.CUT:
            self._fall_back(bundle)
        elif how is not FollowerEnd.BROKEN and newest is not None and newest.is_cut:
            # The bundle that superseded this one was cut short before this one had ended.
            self._fall_back(newest)

    def _got_whole(self, bundle: BundleLog) -> None:
        """The phone that takes patches runs ``bundle`` now: tell it the bundle's label."""
        self._have = None
        file = bundle.file
        if file is None or file.gone or bundle in self._unlabelled:
            return

        def known(digest: Digest) -> None:
            if self._got is bundle and self._newest is bundle and not self._closed:
                self._have = digest.sha256
                self._tell(messages.bundle_id(digest.sha256, digest.units, self._now_ms()))

        file.retain()
        digested = file.digest()
        digested.addCallbacks(known, lambda failure: failure.trap(NoCode) and None)
        digested.addBoth(lambda _: file.release())

    def _note_what_has_begun(self) -> None:
        for follower, bundle in self._following.items():
            if follower.offset:
                self._has_any = True
                self._begun.add(bundle)
                if bundle.is_series_for(self._phone):
                    self._phone.reception.begun(bundle)

    def _fall_back(self, other_than: BundleLog) -> None:
        """The bundle that the phone was to get has been cut short. A phone that is owed the cached
        bundle gets that. Another phone is closed if it has a part of that bundle, or of one that it
        superseded."""
        if self._closed or self._following:
            return
        if other_than is self._newest:
            self._newest = None
        bundle = self._what_there_is() if self._owed else None
        is_new = bundle is not None and bundle not in self._begun
        if bundle is not None and is_new and bundle not in (other_than, self._got):
            self._begin(bundle)
        elif not other_than.is_superseded and self._phone.reception.lost(other_than):
            reason = f"a bundle was cut short: {other_than.log.why}"
            self._phone.sink.cut(CLOSE_INTERNAL_ERROR, reason)
