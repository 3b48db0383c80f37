"""The schema of `--json`, as the documentation has it, to hold real output against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

PATH = Path(__file__).resolve().parents[2] / "docs" / "reference" / "companion.schema.json"
LINES = frozenset({"command", "event", "at_ms"})


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
    Draft202012Validator.check_schema(found)
    return found


def check_line(line: str) -> dict[str, Any]:
    """A line of `--json`, read. Raises `AssertionError` if it is none, or has what is nowhere
    described."""
    said: dict[str, Any] = json.loads(line)
    errors = list(Draft202012Validator(schema()).iter_errors(said))
    if "type" in said:
        assert not errors, (errors[0].message, line)
        return said
    name = f"{said.get('command')}_{said.get('event')}" if said.get("command") else "usage_error"
    known = schema()["$defs"].get(name)
    assert known is not None, f"the schema has no {name}: {line}"
    # What is wrong with the very line is said better than that it is none of many.
    one = {**known, "$defs": schema()["$defs"]}
    wrong = [error.message for error in Draft202012Validator(one).iter_errors(said)]
    assert not wrong, (wrong, line)
    assert not errors, line
    unknown = set(said) - set(known["properties"])
    assert not unknown, f"the schema's {name} has no {unknown}"
    return said


def check_output(text: str) -> list[dict[str, Any]]:
    """All that a run has printed."""
    lines = [check_line(line) for line in text.splitlines()]
    assert not any(one.get("event") == "result" for one in lines[:-1]), text
    return lines
