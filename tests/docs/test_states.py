"""Every table of states is a whole one, and stands in docs/explanation/states.md."""

import ast
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "ops" / "docs"))

from docs_lib import states  # noqa: E402


def modules_with_tables() -> Iterator[str]:
    """The modules that assign `TRANSITIONS`, without the package's name."""
    package = REPOSITORY / "apptuner_relay"
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TRANSITIONS":
                yield ".".join(path.relative_to(package).with_suffix("").parts)


class StatesTest(SynchronousTestCase):
    def tables(self) -> Iterator[tuple[states.Table, Mapping[tuple[Enum, Enum], Enum]]]:
        for table in states.TABLES:
            with self.subTest(table.module):
                yield table, import_module(f"apptuner_relay.{table.module}").TRANSITIONS

    def test_each_stands_on_the_page(self) -> None:
        self.assertEqual(
            sorted(modules_with_tables()), sorted(table.module for table in states.TABLES)
        )

    def test_what_acts_on_each_imports_it(self) -> None:
        for table, transitions in self.tables():
            owner = import_module(f"apptuner_relay.{table.owner}")
            names = vars(owner).values()
            state_type = type(next(iter(transitions.values())))
            self.assertTrue(
                any(one is transitions or one is state_type for one in names), table.owner
            )

    def test_each_state_can_be_reached(self) -> None:
        for table, transitions in self.tables():
            state_type = type(next(iter(transitions.values())))
            reached = {state_type[name] for name in table.starts}
            while (
                more := {after for (state, _), after in transitions.items() if state in reached}
                - reached
            ):
                reached |= more
            self.assertEqual(reached, set(state_type))

    def test_each_event_means_something(self) -> None:
        for _, transitions in self.tables():
            events = {event for _, event in transitions}
            self.assertEqual(events, set(type(next(iter(events)))))

    def test_each_state_and_event_is_explained(self) -> None:
        for table, transitions in self.tables():
            docs = states.member_docs(import_module(f"apptuner_relay.{table.module}"))
            (pair, after) = next(iter(transitions.items()))
            for kind in (type(after), type(pair[1])):
                for member in kind:
                    self.assertIn(f"{kind.__name__}.{member.name}", docs)


class PageTest(SynchronousTestCase):
    def test_an_arrow_for_each_transition(self) -> None:
        page = states.render()
        for table in states.TABLES:
            section = page.partition(f"\n## {table.title}\n")[2].partition("\n## ")[0]
            transitions = import_module(f"apptuner_relay.{table.module}").TRANSITIONS
            for (state, event), after in transitions.items():
                arrows = [
                    line.partition(": ")[2].split(", ")
                    for line in section.splitlines()
                    if line.startswith(f"    {state.name} --> {after.name}: ")
                ]
                self.assertEqual([event.name in names for names in arrows], [True])
