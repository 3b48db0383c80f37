"""Waits until every relay of a host says that it runs one release, and is well.

The host's Python runs this file as it is (``python3 -c``), so it has what it needs in itself and
needs the standard library only. It is given an order, as JSON, and prints a report, as JSON:

    {"instances": [{"url", "unit": name|null, "was_ok": bool, "ago_s": since its restart}],
     "expected": {"version", "commit", "release"} | null, "root": folder | null, "patience_s"}
    {"rows": [{"url", "unit", "state", "text", "ok": bool}], "others": [text], "settled": bool}

Without ``expected`` it asks once, and says what there is. With ``root`` it waits until no process
on the host runs another release below it.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

TIMES = 3
"""A relay is live when it has said so this often, each time on a new connection: where the old
process still accepts some, it would answer one of them."""
CRASHES = 2
"""A unit that was started again so often since its restart crash-loops."""
UNIT_FIELDS = ("ActiveState", "SubState", "NRestarts", "Result", "ExecMainStatus")
_PAUSE_S = 0.25
_ASK_S = 5
_SLACK_S = 2.0
"""By how much an uptime may be wrong: it is in whole seconds."""

Json = dict[str, Any]


class Verdict(NamedTuple):
    """What is to be made of an instance now."""

    state: str
    """``live``, ``degraded``, ``old``, ``draining``, ``silent`` or ``crash-loop``."""
    text: str


def judge(
    answer: Json | str, expected: Json | None, unit: Json | None, since_s: float | None
) -> Verdict:
    """What an instance's answer to ``/health`` says.

    :param answer: the JSON; or, in words, why there is none.
    :param expected: what the release that was installed says of itself.
    :param unit: what systemd says of its unit; None where nobody knows.
    :param since_s: how long ago its restart began; None where it was not restarted.
    """
    crash = _crash(unit)
    if isinstance(answer, str):
        if crash:
            return Verdict("crash-loop", crash)
        if unit is not None and unit.get("ActiveState") == "deactivating":
            return Verdict("draining", f"its unit is stopping; {answer}")
        return Verdict("silent", f"no answer: {answer}{_unit_words(unit)}")
    said = describe(answer)
    status = answer.get("status")
    if expected is not None:
        differs = [
            name
            for name in ("version", "commit", "release")
            if name in expected and answer.get(name) != expected[name]
        ]
        old = f"answers as {said}" if differs else _not_restarted(answer, since_s)
        if old:
            if status == "draining":
                return Verdict("draining", f"the process before still drains: {said}")
            # One that crashes while another process has its port.
            return Verdict("crash-loop", crash) if crash else Verdict("old", old)
    if status == "ok":
        return Verdict("live", said)
    reasons = "; ".join(map(str, answer.get("reasons") or ["no reason given"]))
    if status == "draining":
        return Verdict("draining", f"{said}, which stops")
    return Verdict("degraded", f"{said}: {reasons}")


def describe(said: Json) -> str:
    """A release, for people: ``0.2.0 (5e5866a), release 2026…, up 4 s``."""
    commit, release = said.get("commit"), said.get("release")
    return "".join(
        (
            str(said.get("version")),
            f" ({commit})" if commit else "",
            f", release {release}" if release else "",
            f", up {said['uptime_s']} s" if "uptime_s" in said else "",
        )
    )


def _not_restarted(answer: Json, since_s: float | None) -> str | None:
    uptime_s = answer.get("uptime_s")
    if since_s is None or not isinstance(uptime_s, int | float) or uptime_s <= since_s + _SLACK_S:
        return None
    return f"was not restarted: {describe(answer)}"


def _crash(unit: Json | None) -> str | None:
    if unit is None:
        return None
    count, status = unit.get("NRestarts", "0"), unit.get("ExecMainStatus", "?")
    why = f"{unit.get('Result', '?')}, exit status {status}"
    if unit.get("ActiveState") == "failed":
        return f"systemd has given it up: {why}"
    if count.isdigit() and int(count) >= CRASHES:
        return f"crash-loops: systemd has started it again {count} times ({why})"
    return None


def _unit_words(unit: Json | None) -> str:
    return "" if unit is None else f" ({unit.get('ActiveState')}, {unit.get('SubState')})"


def other_processes(root: str, release: str | None, proc: Path = Path("/proc")) -> list[str]:
    """The relays of this host that run another release below the root, whoever started them."""
    found = []
    for folder in proc.glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        # The interpreter in the first line of a script is the release's own.
        program, rest = os.fsdecode(words[0]), b" ".join(words[1:])
        name = program.removeprefix(f"{root}/releases/").partition("/")[0]
        is_relay = program.startswith(f"{root}/releases/") and b"apptuner-relay" in rest
        if is_relay and name != release:
            found.append(f"process {folder.name} runs {name}")
    return sorted(found)


def ask(url: str) -> Json | str:
    """The JSON that ``/health`` answers; or, in words, why there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        try:
            with opener.open(url, timeout=_ASK_S) as answer:
                status, body = answer.status, answer.read(65536)
        except urllib.error.HTTPError as wrong:
            with wrong:
                status, body = wrong.code, wrong.read(65536)
        try:
            value = json.loads(body)
        except ValueError:
            value = None
    except (OSError, ValueError) as wrong:
        return str(getattr(wrong, "reason", wrong))
    except Exception as wrong:  # http.client has more of its own.
        return f"{type(wrong).__name__}: {wrong}"
    if isinstance(value, dict) and "version" in value:
        return value
    return f"HTTP {status}, which is not a relay's /health: {body[:200].decode('utf-8', 'replace')}"


def ask_unit(unit: str | None) -> Json | None:
    """What systemd says of a unit; None where it says nothing."""
    if unit is None:
        return None
    words = [word for name in UNIT_FIELDS for word in ("-p", name)]
    try:
        done = subprocess.run(
            ["systemctl", "show", *words, unit],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return found or None


def watch(order: Json) -> Json:
    """Ask until everybody is live, somebody never will be, or there is no more patience."""
    began_s = time.monotonic()
    instances, expected = order["instances"], order["expected"]
    release = None if expected is None else expected.get("release")
    streaks = [0] * len(instances)
    while True:
        past_s = time.monotonic() - began_s
        rows = []
        for index, one in enumerate(instances):
            ago_s = one.get("ago_s")
            since_s = None if ago_s is None else ago_s + time.monotonic() - began_s
            verdict = judge(ask(one["url"]), expected, ask_unit(one.get("unit")), since_s)
            # One that was degraded before is no worse than it was.
            ok = verdict.state == "live" or (
                verdict.state == "degraded" and not one.get("was_ok", True)
            )
            streaks[index] = streaks[index] + 1 if ok else 0
            rows.append({"url": one["url"], "unit": one.get("unit"), "ok": ok, **verdict._asdict()})
        others = other_processes(order["root"], release) if order["root"] and release else []
        settled = all(streak >= TIMES for streak in streaks) and not others
        lost = any(row["state"] == "crash-loop" for row in rows)
        if settled or lost or expected is None or past_s > order["patience_s"]:
            return {"rows": rows, "others": others, "settled": settled}
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    print(json.dumps(watch(json.loads(sys.argv[1]))))
