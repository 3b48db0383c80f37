"""Nobody fills a relay in once it is made: parts are passed in, or `tap` subscribes them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import apptuner_relay

PACKAGE = Path(apptuner_relay.__file__).parent
NAMES = {"relay", "_relay", "service", "_service", "hooks", "_hooks", "registry", "_registry"}
"""How others call the objects of the room ``relay``."""


def assignments(tree: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes of such objects to which something is assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Attribute):
                owner = target.value
                name = getattr(owner, "attr", getattr(owner, "id", None))
                if name in NAMES:
                    yield target


class Wiring(SynchronousTestCase):
    def test_nobody_assigns_to_attributes_of_the_relay(self) -> None:
        found = [
            f"{path.relative_to(PACKAGE)}:{target.lineno}: {ast.unparse(target)}"
            for path in sorted(PACKAGE.rglob("*.py"))
            if PACKAGE / "client" not in path.parents
            for target in assignments(ast.parse(path.read_text()))
        ]
        self.assertEqual(found, [])

    def test_such_an_assignment_is_found(self) -> None:
        lines = "relay.a = 1", "self._relay.b += 1", "x.hooks.c: int = 1", "relay = other.relay"
        found = [ast.unparse(one) for line in lines for one in assignments(ast.parse(line))]
        self.assertEqual(found, ["relay.a", "self._relay.b", "x.hooks.c"])
