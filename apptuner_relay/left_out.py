"""Keeps out of a relay's process what its libraries import and it has no use for. `service_maker`
does so between reading the options and importing the relay, and nobody else does: tests and the
companion program have everything.

What is left out are 20 MiB, of a process that then has 45.
"""

import os
import sys
from types import ModuleType
from typing import Any

from apptuner_relay.config.settings import Settings
from apptuner_relay.config.tls_use import may_use_tls

_TLS = ("OpenSSL",)
"""Without it, Twisted is what a plain ``pip install twisted`` gives: it has no TLS, and says so to
whoever asks for it."""
_EXTRAS = ("cbor2", "click")
"""What Autobahn imports if it is there: for WAMP, and for colours in its debug log."""
_OTHER_PROTOCOLS = ("autobahn.twisted.wamp", "autobahn.wamp.message", "twisted.spread.pb")
"""WAMP and Perspective Broker, which the relay doesn't speak. Autobahn's WebSocket and twisted.web
import these for a base class or a type each."""
_PAGES = ("hyperlink", "twisted.web._template_util")
"""For pages that Twisted and Autobahn make of templates, and for what they read of URLs. The pages
of the relay are files, and only clients over HTTP read URLs so."""


class Absent:
    """Stands for any class of a module that is left out."""


class AbsentModule(ModuleType):
    """Stands for a module that is left out: has every name, and nothing behind it."""

    def __getattr__(self, name: str) -> type[Absent]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Absent,), {})


def leave_out(settings: Settings) -> None:
    """To be called before the relay's modules are imported. What is imported already stays."""
    modules: dict[str, Any] = sys.modules
    connects_to_none = not may_use_tls(settings)
    for name in _EXTRAS + _TLS if connects_to_none else _EXTRAS:
        # By Python's reference, to import what is None raises ModuleNotFoundError.
        modules.setdefault(name, None)
    for name in _OTHER_PROTOCOLS + _PAGES if connects_to_none else _OTHER_PROTOCOLS:
        modules.setdefault(name, AbsentModule(name))
    if settings.managed.managed is None and settings.cluster.redis is None:
        # The frames of others are read by Autobahn itself. Of clients' frames it reads none, so
        # its native parts aren't needed, which compile C declarations when they are imported.
        os.environ.setdefault("AUTOBAHN_USE_NVX", "0")
