"""What the answer to a WebSocket handshake means: proxies on the way, and compression. Pure."""

from __future__ import annotations

from apptuner_relay.client.doctor.answerers import name_answerer
from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    in_figures,
    show_ms,
    warned,
)
from apptuner_relay.client.doctor.http_answer import HttpAnswer

PATH_SHOWN = "/cli/…"
DEFLATE = "permessage-deflate"
_TAKEOVERS = ("server_no_context_takeover", "client_no_context_takeover")

_NGINX = (
    "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    "proxy_set_header Connection upgrade; (ops/nginx/nginx.conf)"
)


def judge_upgrade(answer: HttpAnswer, took_s: float) -> Finding:
    """The handshake of a CLI, answered with 101 or something else."""
    figures: dict[str, object] = {"status": answer.status, "took_ms": in_figures(took_s)}
    if answer.status == 101:
        return fine("websocket", f"101 for {PATH_SHOWN}; {show_ms(took_s)}", **figures)
    server = answer.fields.get("server")
    if server:
        figures["server"] = server
    if answer.error:
        text = f"the relay refused {PATH_SHOWN} with HTTP {answer.status}: {answer.error}"
    else:
        text = f"no upgrade of {PATH_SHOWN}: {name_answerer(answer).text}"
    return failed("websocket", text, _hint_for(answer), **figures)


def judge_no_upgrade(took_s: float, words: str) -> Finding:
    """The handshake, to which nothing came that can be read."""
    return failed(
        "websocket",
        f"no answer to the upgrade in {show_ms(took_s)}" if not words else f"no upgrade: {words}",
        "A proxy on the way may hold the request back, as it knows no WebSockets. HTTP/1.1 and "
        f"the header fields Upgrade and Connection have to pass through it. {_NGINX}",
        took_ms=in_figures(took_s),
    )


def judge_no_welcome(took_s: float, words: str) -> Finding:
    """An upgrade after which the relay's first message never came."""
    return failed(
        "websocket",
        f"101 for {PATH_SHOWN}, but no welcome in {show_ms(took_s)}{': ' * bool(words)}{words}",
        "What answers there is a WebSocket server, but no AppTuner relay; or something on the way "
        "lets the handshake pass, and no messages (a proxy that buffers, a virus scanner).",
        took_ms=in_figures(took_s),
    )


def _hint_for(answer: HttpAnswer) -> str:
    """By the status, and whether it is the relay's own words."""
    by_relay = bool(answer.error)
    match answer.status:
        case 426 if by_relay:
            return (
                "The relay was reached, but the proxy in front of it has dropped the header "
                f"fields Upgrade and Connection. {_NGINX}"
            )
        case 400 if by_relay:
            return (
                "The relay was reached, but something on the way has changed the handshake: a "
                f"proxy that speaks HTTP/1.0 to it, or drops header fields. {_NGINX}"
            )
        case 404 if by_relay:
            return (
                "A proxy rewrites the path, so that the relay does not know it: /cli/… has to "
                "arrive as it is. If the relay is below a path, that has to be taken off, and be "
                "in --relay: wss://HOST/PATH."
            )
        case 429:
            return (
                "There were too many connections from this address (--connect-rate). Wait a "
                "minute. Behind a proxy everybody has its address: --trusted-proxy."
            )
        case 403 if by_relay:
            return "The relay lets nobody in from here: see --allowed-origin, and its log."
        case 503 if by_relay:
            return "The relay is stopping, or at its limit. Try again in a while; see its log."
        case 426:
            return (
                "HTTP/1.1 is not enough for what answers, or the upgrade was dropped on the way. "
                f"WebSockets need HTTP/1.1 from end to end. {_NGINX}"
            )
        case 200 | 204:
            return (
                "A proxy answered with a page of its own, or took the upgrade for a plain "
                f"request: /cli/… has to go to the relay, as an upgrade. {_NGINX}"
            )
        case 400:
            return f"A proxy on the way does not know upgrades, or drops them. {_NGINX}"
        case 505 | 464:
            return "The proxy wants another version of HTTP; WebSockets need HTTP/1.1."
    return name_answerer(answer).hint


def judge_compression(extensions: str) -> Finding:
    """What was negotiated, as `Sec-WebSocket-Extensions` of the 101 says it."""
    first, *parameters = [part.strip() for part in extensions.split(",")[0].split(";")]
    figures = {"extensions": extensions}
    if first.lower() != DEFLATE:
        return warned(
            "compression",
            "not negotiated: bundles pass as they are",
            "The relay runs with --compression off, or a proxy drops Sec-WebSocket-Extensions. "
            "JavaScript takes some four times as many bytes without.",
            **figures,
        )
    names = {one.partition("=")[0].strip().lower() for one in parameters}
    if not names.issuperset(_TAKEOVERS):
        return warned(
            "compression",
            f"{DEFLATE}, with context takeover",
            "An AppTuner relay negotiates it without: something on the way has its own "
            "WebSockets, and compresses anew what passes.",
            **figures,
        )
    return fine("compression", f"{DEFLATE}, without context takeover", **figures)
