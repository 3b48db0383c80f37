"""How one phone gets its session's bundles: with the group, from the spool, or as an announcement.

A phone leaves the group when it joins late, when it is too slow for the others, and for bundles
that begin while it is still behind; it is back with the first one that finds it with nothing left
to get. A phone that said what it has waits, with the first bundle, until that one's content
address is known.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from twisted.python.failure import Failure

from apptuner_relay.bundles.bundle import Digest, NoCode
from apptuner_relay.bundles.disk import Disk
from apptuner_relay.bundles.follower import CUT, FROM_THE_START, LOST, End, Follower, Phone, Start
from apptuner_relay.bundles.spooled import Cut, SpooledBundle, State
from apptuner_relay.flow import Lane, Source
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR


class Library(Protocol):
    """Where a session's bundles are: `store.Store`."""

    @property
    def disk(self) -> Disk:
        """Where the files are."""

    @property
    def max_message(self) -> int:
        """The most bytes that a message may have, inflated."""

    def growing(self, session_hash: str) -> SpooledBundle | None:
        """The bundle of that session of which more is to come."""

    def last(self, session_hash: str) -> SpooledBundle | None:
        """The last one of which all has come, though it may still be on its way to the disk."""


class Playback:
    """What one phone gets of bundles.

    :param have: the SHA-256 of the code that the phone says it has.
    :param announce: where its session's bundles are found over HTTP, with what the phone has to
        show there as a query, for a phone that wants to be told of them instead of getting them.
    :param tell: sends the phone a message of the relay's own.
    """

    def __init__(
        self,
        library: Library,
        session_hash: str,
        phone: Phone,
        tell: Callable[[bytes], None],
        now_ms: Callable[[], int],
        have: str | None = None,
        announce: str | None = None,
    ) -> None:
        self._library = library
        self._session_hash = session_hash
        self._phone = phone
        self._tell = tell
        self._now_ms = now_ms
        self._have = have
        self._announce = announce
        self._newest: SpooledBundle | None = None
        self._followers: list[Follower] = []
        self._got: SpooledBundle | None = None
        """The last one that it got all of."""
        self._left = False
        self._owed = False
        self._closed = False

    def arrive(self) -> None:
        """The phone has joined late, or wants what there is: it gets the last bundle, or follows
        the one that is on its way."""
        self._owed = True
        self._give_what_there_is()

    def offer(self, bundle: SpooledBundle) -> bool:
        """A bundle begins. Whether the phone gets it from here, and not with the group."""
        behind = self._followers or (self._left and self._phone.sink.busy)
        if not (behind or self._announce or self._have):
            self._left = self._owed = False
            return False
        self._deliver(bundle)
        return True

    def leave_group(self) -> bool:
        """The phone is too slow for the others. Whether it could leave them."""
        sink, reception = self._phone.sink, self._phone.reception
        own = [follower.source for follower in self._followers]
        plans: list[tuple[Source, SpooledBundle, Lane | None, Start | None]] = []
        for root in {source.root for source in sink.holding if not source.gone}:
            bundle = root.bundle
            if root in own:
                continue
            if bundle is None or bundle.gone or bundle.state is State.CUT:
                return False
            lane = sink.open_lane_of(root)
            if lane is not None:
                passage = lane.passage
                if passage is None or passage.offset is None or lane.source is None:
                    return False
                origin = lane.source
                start = Start(passage.offset, passage.passed, origin.deflated, origin.plan)
                plans.append((root, bundle, lane, start))
            elif bundle.state is State.GROWING and (
                reception.awaits(bundle.form.series) or not bundle.arriving
            ):
                plans.append((root, bundle, None, Start(bundle.whole)))
            elif sink.over_window:
                return False
            else:
                plans.append((root, bundle, None, None))
        for root, bundle, lane, where in plans:
            if lane is not None and lane.passage is not None:
                lane.passage.leave(lane)
            if where is not None:
                follower = self._follow(bundle, lane, where)
                reception.change_over(bundle.form.series, bundle)
                follower.play()
                if not reception.awaits(bundle):
                    # Another sender's has taken its place.
                    follower.supersede()
            sink.let_go(root)
        self._left = bool(plans)
        return self._left

    @property
    def busy(self) -> bool:
        """Whether the phone is getting something from here, or is to be told of something."""
        told_later = self._announce is not None and self._newest is not self._got
        return bool(self._followers) or (told_later and self._newest is not None)

    def close(self) -> None:
        """The phone has gone."""
        self._closed = True
        self._newest = None
        followers, self._followers = self._followers, []
        for follower in followers:
            follower.stop()

    def _give_what_there_is(self) -> None:
        bundle = self._what_there_is()
        if bundle is not None:
            self._deliver(bundle)

    def _what_there_is(self) -> SpooledBundle | None:
        library, session = self._library, self._session_hash
        return library.growing(session) or library.last(session)

    def _deliver(self, bundle: SpooledBundle) -> None:
        if self._followers or (self._announce and self._newest is not self._got):
            # It was to get what this supersedes, and still is if this is cut short.
            self._owed = True
        self._phone.reception.promise(bundle)
        for earlier in tuple(self._followers):
            earlier.supersede()
        self._newest = bundle
        have, self._have = self._have, None
        if self._announce is None and have is None:
            self._follow(bundle).play()
            return
        follower = None if self._announce else self._follow(bundle)
        if follower is None:
            bundle.retain()
        known = partial(self._digested, bundle, have, follower)
        bundle.digest().addCallbacks(known, partial(self._not_digested, bundle, follower))

    def _digested(
        self, bundle: SpooledBundle, have: str | None, follower: Follower | None, digest: Digest
    ) -> None:
        if follower is None:
            self._announced(bundle, have, digest)
            bundle.release()
        elif self._newest is not bundle:
            pass
        elif digest.sha256 == have:
            follower.say_instead(messages.bundle_unchanged(digest.sha256, self._now_ms()))
        else:
            follower.play()

    def _announced(self, bundle: SpooledBundle, have: str | None, digest: Digest) -> None:
        if self._newest is not bundle:
            return
        self._owed = False
        self._got = bundle
        self._phone.reception.ended(bundle)
        if digest.sha256 == have:
            self._tell(messages.bundle_unchanged(digest.sha256, self._now_ms()))
        else:
            base, mark, query = (self._announce or "").partition("?")
            url = f"{base}/{digest.sha256}{mark}{query}"
            self._tell(messages.bundle_available(url, digest.sha256, digest.size, self._now_ms()))

    def _not_digested(
        self, bundle: SpooledBundle, follower: Follower | None, failure: Failure
    ) -> None:
        failure.trap(NoCode)
        if self._newest is bundle:
            if follower is not None:
                follower.play()
            elif bundle.state is State.COMPLETE:
                self._follow(bundle).play()
            elif bundle.lost:
                self._phone.sink.cut(CLOSE_INTERNAL_ERROR, LOST)
            else:
                self._newest = None
                self._fall_back(bundle)
        if follower is None:
            bundle.release()

    def _follow(
        self, bundle: SpooledBundle, lane: Lane | None = None, start: Start = FROM_THE_START
    ) -> Follower:
        library = self._library
        follower = Follower(
            bundle, self._phone, library.disk, library.max_message, self._over, lane, start
        )
        self._followers.append(follower)
        return follower

    def _over(self, follower: Follower, how: End) -> None:
        if follower in self._followers:
            self._followers.remove(follower)
        if how is End.WHOLE:
            self._owed = False
            self._got = follower.bundle
        elif how is End.CUT:
            self._fall_back(follower.bundle)
        elif self._newest is not None and self._newest.state is State.CUT:
            # What superseded this has been cut short before this was out of the way.
            self._fall_back(self._newest)

    def _fall_back(self, other_than: SpooledBundle) -> None:
        """The bundle that the phone was to get has been cut short. One that was promised what there
        is gets what there is now; another that has part of it, or of what it was to take the place
        of, is closed."""
        if self._closed or self._followers:
            return
        bundle = self._what_there_is() if self._owed else None
        if bundle is not None and bundle not in (other_than, self._got):
            self._deliver(bundle)
        elif other_than.why_cut is not Cut.SUPERSEDED and self._phone.reception.lost(other_than):
            self._phone.sink.cut(CLOSE_INTERNAL_ERROR, CUT)
