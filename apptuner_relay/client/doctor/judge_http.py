"""What an answer to ``GET /health`` means, or that there is none. Pure."""

from __future__ import annotations

from enum import Enum, auto

from apptuner_relay.client.doctor.answerers import is_relay, name_answerer
from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    in_figures,
    show_ms,
    warned,
)
from apptuner_relay.client.doctor.http_answer import HttpAnswer

_OK = "ok"
_DRAINING = "draining"


class HttpProblem(Enum):
    """Why there is no answer."""

    TLS = auto()
    """The port speaks TLS, and was asked without."""
    SILENT = auto()
    CLOSED = auto()
    """The connection ended without an answer."""
    ENDLESS = auto()
    """One began, and did not end."""
    NO_HTTP = auto()
    LOST = auto()
    """There was no second connection, or it broke."""


def judge_silence(problem: HttpProblem, took_s: float, words: str) -> Finding:
    """HTTP, where nothing came that can be read. `words` say what came instead."""
    match problem:
        case HttpProblem.TLS:
            return failed(
                "http",
                "the port speaks TLS, and was asked without",
                "Use wss:// in place of ws:// in --relay.",
            )
        case HttpProblem.SILENT:
            return failed(
                "http",
                f"connected, but nothing came back in {show_ms(took_s)}",
                "What listens there hangs, or speaks no HTTP. Is the relay's process stopped or "
                "stuck (its log; systemctl status)? Does a balancer in front of it reach it?",
                waited_ms=in_figures(took_s),
            )
        case HttpProblem.ENDLESS:
            return failed(
                "http",
                f"an answer began, and did not end in {show_ms(took_s)}",
                "The line is very slow, or what answers is no relay: a relay's answer is short.",
                waited_ms=in_figures(took_s),
            )
        case HttpProblem.CLOSED:
            return failed(
                "http",
                "connected, but the connection was closed without an answer",
                "A balancer that reaches no relay does so, and a relay that expects something "
                "else first: TLS (wss://), or the PROXY protocol of a balancer.",
            )
        case HttpProblem.NO_HTTP:
            return failed(
                "http",
                f"what answers there speaks no HTTP/1: it seems to be {words}",
                "WebSockets need HTTP/1.1. Let the proxy speak it to clients as well (HTTP/2 "
                "alone is not enough)."
                if words == "HTTP/2"
                else "Is that the relay's host and port?",
            )
    return failed(
        "http",
        f"the connection was lost: {words or 'it was ended by the other side'}",
        "It was there a moment ago. Is the relay being restarted?",
    )


def judge_health(answer: HttpAnswer, took_s: float) -> Finding:
    """HTTP, where there is an answer."""
    figures: dict[str, object] = {"status": answer.status, "took_ms": in_figures(took_s)}
    value = answer.json or {}
    if not is_relay(answer):
        text, hint = name_answerer(answer)
        return failed("http", text, hint, server=answer.fields.get("server"), **figures)
    state = str(value["status"])
    version, node = value.get("version"), value.get("node")
    for name in ("version", "commit", "node", "connections", "sessions", "uptime_s"):
        if name in value:
            figures[name] = value[name]
    figures["state"] = state
    who = f"relay {version}" if isinstance(version, str) else "an older relay, without a version"
    if isinstance(node, str):
        who += f", node {node}"
    given = value.get("reasons")
    reasons = [str(one) for one in given] if isinstance(given, list) else []
    if reasons:
        figures["reasons"] = reasons
    text = f"{who}: {state}"
    if reasons:
        text += f" ({'; '.join(reasons)})"
    text += f"; {show_ms(took_s)}"
    if state == _OK:
        return fine("http", text, **figures)
    if state == _DRAINING:
        return warned(
            "http",
            text,
            "The relay is stopping, and takes no new sessions. Try again when it is back.",
            **figures,
        )
    return warned(
        "http",
        text,
        "It works, but its operator has something to attend to: the warnings in "
        "docs/reference/metrics.md say what to do about each reason.",
        **figures,
    )
