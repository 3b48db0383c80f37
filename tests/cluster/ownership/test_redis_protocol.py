"""Replies of Redis, in whatever pieces they arrive. `tests.live` has real servers."""

from typing import Any

import txredisapi
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.redis_protocol import (
    Commands,
    RespFactory,
    Subscriber,
    reason_of,
)
from apptuner_relay.config.redis_url import Credentials

texts = st.text(st.characters(codec="utf-8"), max_size=20)
replies = st.recursive(
    st.none()
    | st.integers(-(2**40), 2**40)
    | st.tuples(st.just("bulk"), texts)
    | st.tuples(st.just("status"), st.text("abc 1", min_size=1, max_size=8)),
    lambda inner: st.lists(inner, min_size=1, max_size=4),
    max_leaves=6,
)


def encode(reply: Any) -> bytes:
    """As RESP2 has it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(encode, reply))
    kind, text = reply
    data = text.encode()
    return b"+%b\r\n" % data if kind == "status" else b"$%d\r\n%b\r\n" % (len(data), data)


def plain(reply: Any) -> Any:
    """What is to be made of it."""
    if isinstance(reply, list):
        return [plain(one) for one in reply]
    return reply[1] if isinstance(reply, tuple) else reply


def connect(kind: Any) -> Any:
    connection = RespFactory(kind).buildProtocol(None)
    connection.makeConnection(StringTransport())
    return connection


class Parsing(SynchronousTestCase):
    @given(st.lists(replies, min_size=1, max_size=4), st.integers(1, 50))
    def test_in_whatever_pieces_they_arrive(self, sent: list[Any], size: int) -> None:
        connection = connect(Commands)
        waiting: list[Deferred[Any]] = [connection.execute_command("X") for _ in sent]
        data = b"".join(map(encode, sent))
        for at in range(0, len(data), size):
            connection.dataReceived(data[at : at + size])
        for reply, deferred in zip(sent, waiting, strict=True):
            self.assertEqual(self.successResultOf(deferred), plain(reply))

    def test_text_that_looks_like_a_number_stays_text(self) -> None:
        connection = connect(Commands)
        waiting = connection.execute_command("GET", "x")
        connection.dataReceived(b"$2\r\n12\r\n")
        self.assertEqual(self.successResultOf(waiting), "12")

    def test_a_refusal(self) -> None:
        connection = connect(Commands)
        waiting = connection.execute_command("GET", "x")
        connection.dataReceived(b"-NOPERM you may not\r\n")
        failure = self.failureResultOf(waiting, txredisapi.ResponseError)
        self.assertEqual(reason_of(failure), "NOPERM you may not")


class Losing(SynchronousTestCase):
    def test_all_who_wait_fail_and_find_it_gone(self) -> None:
        connection = connect(Commands)
        found: list[bool] = []
        waiting = [connection.execute_command("X") for _ in range(3)]
        for one in waiting:
            one.addErrback(lambda _: found.append(connection.gone.called))
        connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(found, [True] * 3)
        self.assertIs(connection.why.type, ConnectionDone)

    def test_what_comes_afterwards_is_not_parsed(self) -> None:
        connection = connect(Commands)
        connection.connectionLost(Failure(ConnectionDone()))
        connection.dataReceived(b"+OK\r\n")


class SigningIn(SynchronousTestCase):
    def sent(self, credentials: Credentials | None, db: int = 0) -> list[bytes]:
        connection = connect(Commands)
        signing = Deferred.fromCoroutine(connection.sign_in(credentials, db))
        commands = []
        while not signing.called:
            data = connection.transport.value()
            connection.transport.clear()
            commands.append(b" ".join(data.split(b"\r\n")[2::2]))
            connection.dataReceived(b"+PONG\r\n" if b"PING" in data else b"+OK\r\n")
        self.successResultOf(signing)
        return commands

    def test_with_whatever_there_is(self) -> None:
        self.assertEqual(self.sent(None), [b"PING"])
        self.assertEqual(self.sent(Credentials(None, "pw")), [b"AUTH pw", b"PING"])
        self.assertEqual(
            self.sent(Credentials("me", "pw"), 2), [b"AUTH me pw", b"PING", b"SELECT 2"]
        )


class Hearing(SynchronousTestCase):
    def test_messages_that_are_text(self) -> None:
        connection = connect(Subscriber)
        heard: list[tuple[str, str]] = []
        connection.heard = lambda channel, text: heard.append((channel, text))
        for data in (b"hello", b"\xff\xfe", b"world"):
            connection.dataReceived(
                b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(data), data)
            )
        self.assertEqual(heard, [("c", "hello"), ("c", "world")])


class Reasons(SynchronousTestCase):
    @given(st.text())
    def test_one_printable_line(self, text: str) -> None:
        said = reason_of(Failure(ValueError(text)))
        self.assertTrue(said and said.isprintable())
        self.assertLessEqual(len(said), 300)

    def test_of_tls(self) -> None:
        wrong = SSL.Error([("SSL routines", "", "certificate verify failed")])
        self.assertEqual(reason_of(Failure(wrong)), "TLS: certificate verify failed")
        self.assertEqual(reason_of(Failure(SSL.Error([]))), "TLS: no reason")
