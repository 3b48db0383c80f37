"""`apptuner_relay.support.private_names`: that what it takes from Autobahn and Twisted is there,
and that nothing else takes any."""

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from autobahn.twisted.websocket import (
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import tcp
from twisted.internet.epollreactor import EPollReactor
from twisted.protocols.tls import BufferingTLSTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import HTTPChannel

import apptuner_relay
from apptuner_relay.support.private_names import of_autobahn, of_twisted, of_twisted_tls

USED: dict[type, str] = {
    WebSocketProtocol: "data dropConnection processData sendCloseFrame sendData wasClean",
    WebSocketServerProtocol: "CONFIG_ATTRS _perMessageCompress failHandshake http_headers "
    "http_request_uri processHandshake sendHttpErrorResponse",
    WebSocketClientProtocol: "failHandshake failedByMe http_headers http_status_line "
    "onCloseFrame processHandshake remoteCloseCode remoteCloseReason sendFrame state "
    "wasNotCleanReason",
    tcp.Connection: "_tempDataBuffer dataBuffer producerPaused",
    tcp.Connector: "_makeTransport",
    EPollReactor: "_disconnectSelectable _doReadOrWrite _justStopped _poller _selectables "
    "doIteration threadCallQueue",
    tcp.Port: "_shouldShutdown numberAccepts transport",
    BufferingTLSTransport: "_aborted _appSendBuffer _flushReceiveBIO _flushSendBIO _handshakeDone "
    "_lostTLSConnection _tlsConnection _tlsShutdownFinished _write",
    HTTPChannel: "_command _handlingRequest _log _path _send100Continue _transferDecoder _version",
    HTTPConnectionPool: "_factory",
    Agent: "_getEndpoint _requestWithEndpoint",
}
"""What is used of each class beyond its documentation."""

# Every transport and protocol has a transport.
FORBIDDEN = {name for names in USED.values() for name in names.split()} - {"transport"}
"""What classes derived from Autobahn's and Twisted's may not use elsewhere, nor anything else that
begins with an underscore."""

MAY_USE = (of_autobahn, of_twisted, of_twisted_tls)

OF_PYTHON = {"_asdict", "_replace", "_value2member_map_"}
"""What the standard library documents though it begins with an underscore, or what has no other
name."""


def modules() -> Iterator[ModuleType]:
    """Every module of the package."""
    for found in pkgutil.walk_packages(apptuner_relay.__path__, "apptuner_relay."):
        yield importlib.import_module(found.name)


def trees() -> Iterator[tuple[ModuleType, ast.Module]]:
    """Every other module than those that may, and its syntax."""
    for module in modules():
        if module not in MAY_USE and module.__file__ is not None:
            with open(module.__file__, encoding="utf-8") as file:
                yield module, ast.parse(file.read())


@functools.cache
def given_to_instances(cls: type) -> frozenset[str]:
    """The attributes that a class's methods give to its instances."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return frozenset(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and is_self(node.value)
    )


def has(cls: type, name: str) -> bool:
    """Whether the class, or an instance of it, has the attribute."""
    return hasattr(cls, name) or any(
        name in given_to_instances(base) for base in cls.__mro__ if is_outside(base)
    )


def is_outside(cls: type) -> bool:
    return cls.__module__.split(".")[0] in ("autobahn", "twisted")


def names_in(node: ast.ClassDef) -> set[str]:
    """What a class says of itself: its methods, its attributes, and what they use of ``self``."""
    names = set()
    for one in ast.walk(node):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(one.name)
        elif isinstance(one, ast.Attribute) and is_self(one.value):
            names.add(one.attr)
    for one in node.body:
        targets = one.targets if isinstance(one, ast.Assign) else []
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            names.add(one.target.id)
    return names


def is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


class Versions(SynchronousTestCase):
    """What a new version of Autobahn or Twisted may have taken away."""

    def test_everything_is_there(self) -> None:
        for cls, names in USED.items():
            for name in names.split():
                self.assertTrue(has(cls, name), f"{cls.__module__}.{cls.__qualname__}.{name}")

    def test_each_is_used(self) -> None:
        source = "".join(map(inspect.getsource, MAY_USE))
        for names in USED.values():
            for name in names.split():
                self.assertRegex(source, rf"\b{name}\b")

    def test_what_is_forgotten_of_a_handshake_is_autobahns(self) -> None:
        shared = {name for name in vars(of_autobahn._AfterHandshake) if name[:2] != "__"}
        for name in shared | of_autobahn._OF_HANDSHAKE:
            self.assertTrue(has(WebSocketServerProtocol, name), name)

    def test_every_option_that_autobahn_copies_is_the_factorys(self) -> None:
        factory = WebSocketServerFactory()
        protocol = of_autobahn.with_options(WebSocketServerProtocol, factory)
        self.assertEqual(protocol.CONFIG_ATTRS, ())
        for name in WebSocketServerProtocol.CONFIG_ATTRS:
            self.assertEqual(getattr(protocol, name), getattr(factory, name), name)


class OneModule(SynchronousTestCase):
    """Which module uses private names of theirs."""

    def test_no_derived_class_does(self) -> None:
        found = []
        for module, tree in trees():
            for node in ast.walk(tree):
                cls: Any = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else 0
                if not isinstance(cls, type) or not isinstance(node, ast.ClassDef):
                    continue
                bases = [base for base in cls.__mro__ if is_outside(base)]
                for name in sorted(names_in(node)):
                    if name.startswith("__") or not (name in FORBIDDEN or name[0] == "_"):
                        continue
                    if any(has(base, name) for base in bases):
                        found.append(f"{module.__name__}.{node.name}: {name}")
        self.assertEqual(found, [])

    def test_nobody_reaches_into_an_object_of_theirs(self) -> None:
        ours: set[str] = set(OF_PYTHON)
        used: dict[str, str] = {}
        for module, tree in trees():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    ours.add(node.name)
                elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                    if is_self(node.value):
                        ours.add(node.attr)
                    elif not node.attr.startswith("__"):
                        used[node.attr] = module.__name__
        self.assertEqual({name: used[name] for name in used.keys() - ours}, {})
