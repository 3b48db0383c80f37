"""All cases in order, and the table of what passes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tests.live.conformance import bulk, closing, deflate, framing, text
from tests.live.conformance.case import Case, run
from tests.live.conformance.peer import Trouble

OPTIONS = ("--tune", "close-timeout=300", "--message-rate", "0")
"""Of the relay: nothing here may depend on its dropping a client that leaves closing unfinished,
and some cases send more messages than a client may."""
MOST_FAILURES = 10
"""So many, and the rest isn't run: each may have waited for long."""
GROUPS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Close handling and codes",
    "9": "Limits",
    "10": "Small frames",
    "12": "Compression: sizes and kinds",
    "13": "Compression: offers, forms, violations",
}


@dataclass(frozen=True)
class Outcome:
    """How a case went."""

    case: Case
    problem: str | None

    @property
    def passed(self) -> bool:
        return self.problem is None


def cases() -> Iterator[Case]:
    """Made one after the other, as some are big."""
    for module in (framing, text, closing, bulk, deflate):
        yield from module.cases()


def run_all(port: int, tell: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """Run every case against the relay on ``port``, each in a session of its own. Blocks."""
    outcomes = []
    for number, case in enumerate(cases()):
        problem = None
        try:
            run(case, port, f"case-{number}")
        except (Trouble, OSError) as trouble:
            problem = f"{type(trouble).__name__}: {trouble}"
        # The bytes are not kept: some are big.
        outcome = Outcome(_light(case), problem)
        outcomes.append(outcome)
        tell(outcome)
        if sum(not one.passed for one in outcomes) >= MOST_FAILURES:
            break
    return outcomes


def _light(case: Case) -> Case:
    """Without its bytes, as some are big; what it expects can still be told."""
    relayed = tuple(message._replace(payload=b"") for message in case.relayed)
    return replace(case, sends=(), relayed=relayed)


def _by_group(outcomes: list[Outcome]) -> Iterator[tuple[str, str, list[Outcome], int]]:
    """Each group: its number, its name, its outcomes, and how many of them passed."""
    for group, name in GROUPS.items():
        own = [outcome for outcome in outcomes if outcome.case.group == group]
        yield group, name, own, sum(outcome.passed for outcome in own)


def summary(outcomes: Iterable[Outcome]) -> str:
    """A line for each group."""
    lines = []
    outcomes = list(outcomes)
    for group, name, own, passed in _by_group(outcomes):
        lines.append(f"{group:>3}  {name:<40} {passed:>3} of {len(own)} pass")
    passed = sum(outcome.passed for outcome in outcomes)
    lines.append(f"     {'all':<40} {passed:>3} of {len(outcomes)} pass")
    return "\n".join(lines)


def table(outcomes: Iterable[Outcome]) -> str:
    """A Markdown table of every case."""
    lines = []
    for group, name, own, passed in _by_group(list(outcomes)):
        lines += [f"## {group}: {name} ({passed} of {len(own)} pass)", ""]
        lines += ["| case | what the CLI does | what must come of it | |", "|---|---|---|---|"]
        lines += [
            f"| {one.case.number} | {one.case.title} | {one.case.expectation} | "
            f"{'pass' if one.passed else f'FAIL: {one.problem}'} |"
            for one in own
        ]
        lines.append("")
    return "\n".join(lines)
