"""Has what a `delivery.Delivery` does written into the records of its bundles."""

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.follower_states import FollowerEnd
from apptuner_relay.operator.delivered_bundles import DeliveredBundles
from apptuner_relay.operator.phone_record import DeliverySource, PhoneForm
from apptuner_relay.spool.bundle_log import BundleLog, BundlePhone

_UNREADABLE = "it can't be read any more"


class RecordedDelivery:
    """That of one phone.

    :param rows: those of its connection in the records.
    """

    __slots__ = ("_phone", "_rows")

    def __init__(self, rows: DeliveredBundles, phone: BundlePhone) -> None:
        self._rows = rows
        self._phone = phone

    def waits(self, bundle: BundleLog, source: DeliverySource) -> None:
        """The phone is to get a bundle."""
        self._rows.wait(bundle.record, source, self._form_of(bundle))

    def begun(self, bundle: BundleLog) -> None:
        """It has got the first bytes."""
        self._rows.begin(bundle.record)

    def ended(self, bundle: BundleLog, follower: Follower, how: FollowerEnd) -> None:
        """It gets no more by ``follower``. A message in the bundle's place was recorded before."""
        if how is FollowerEnd.WHOLE:
            if follower.offset:
                self._rows.send(bundle.record, self._form_of(bundle), follower.offset)
        elif how is FollowerEnd.SUPERSEDED or (how is FollowerEnd.CUT and bundle.is_superseded):
            self._rows.supersede(bundle.record)
        else:
            self.cut(bundle)

    def sent_instead(self, bundle: BundleLog, form: PhoneForm, size: int) -> None:
        """It was sent a message of ``size`` bytes in the bundle's place."""
        self._rows.send(bundle.record, form, size)

    def wants_whole(self, bundle: BundleLog) -> bool:
        """It could not use such a message, and gets the bundle. Returns whether it was sent one."""
        return self._rows.want_whole(bundle.record, self._form_of(bundle))

    def cut(self, bundle: BundleLog, why: str = "") -> None:
        """The rest never comes."""
        self._rows.cut(bundle.record, why or bundle.log.why or _UNREADABLE)

    def closed(self, why: str) -> None:
        """The phone has disconnected."""
        self._rows.close(why)

    def moved(self) -> None:
        """Its session moves to another relay."""
        self._rows.move()

    def take_over(self, other: "RecordedDelivery") -> None:
        """The phone is connected in another way: go on with what is recorded of it."""
        self._rows.take_over(other._rows)

    def answered(self, success: bool, error: str | None) -> None:
        """The phone says whether it runs what it got last. See `DeliveredBundles.answer`."""
        self._rows.answer(success, error)

    def _form_of(self, bundle: BundleLog) -> PhoneForm:
        """How the phone gets it, unless a message takes its place."""
        return PhoneForm.CHUNKS if bundle.is_series_for(self._phone) else PhoneForm.WHOLE
