"""How the log and the list of events describe a client: what it says of itself, which is made
printable where it is read (`client_url`). Pure.
"""

from apptuner_relay.session.roles import Admission
from apptuner_relay.support.lazy_text import LazyText


class ClientWords(LazyText):
    """What follows a client's role and address: ``; "Pixel 9", android, 5f2b; okhttp/4.9``. Empty
    for a client that says nothing of itself."""

    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __str__(self) -> str:
        device, agent = self._admission.device, self._admission.agent
        parts = [agent] if agent else []
        if device is not None:
            name = device.name and '"' + device.name.replace('"', "'") + '"'
            words = (name, device.platform, device.device_id)
            parts.insert(0, ", ".join(word for word in words if word))
        return "".join(f"; {part}" for part in parts)


def client_fields(admission: Admission) -> dict[str, object]:
    """The same for logs that programs read: fields, without those that are unknown."""
    fields: dict[str, object] = {}
    device = admission.device
    if device is not None:
        fields["deviceId"] = device.device_id
        if device.name is not None:
            fields["name"] = device.name
        if device.platform is not None:
            fields["platform"] = device.platform
    if admission.agent is not None:
        fields["agent"] = admission.agent
    return fields
