"""The package is built as docs/explanation/architecture.md says: its table of parts, from the top
down, is what imports are checked against, those for typing alone included."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "apptuner_relay"
PAGE = REPOSITORY / "docs" / "explanation" / "architecture.md"
ROOT = PACKAGE.name
MOST_LINES = 400
TOP = "tap.py"
"""The first of the parts; the modules beside it are of its floor."""
FLOORS = {
    "cluster": ("cluster", "cluster.bridge", "cluster.ownership"),
    "managed": (
        "managed",
        "managed.own_server",
        "managed.gateway",
        "managed.service",
        "managed.protocol",
    ),
}
"""The floors within a part, from the top down."""
COMPANIONS_PARTS = {"client", "access", "session", "config", "wire", "support"}
"""The companion program is no relay: it takes of one what does no I/O."""
PURE_FOR_THE_COMPANION = {"managed", "spool"}
"""Parts of which the companion takes modules that do no I/O, and nothing else."""
IO_LIBRARIES = {"asyncio", "autobahn", "os", "pathlib", "socket", "ssl", "treq", "twisted"}
"""What no module imports that the companion takes of those."""


def libraries(path: Path) -> set[str]:
    """The packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def parts() -> list[str]:
    """The parts that the page lists, from the top down."""
    section = PAGE.read_text("utf-8").partition("## The parts\n")[2].partition("\n## ")[0]
    return [name.rstrip("/") for name in re.findall(r"(?m)^\| `([a-z_./]+)` \|", section)]


def modules() -> dict[str, Path]:
    """Every module of the package, by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found - {ROOT}


def graph() -> dict[str, set[str]]:
    """What each module imports of the package."""
    known = modules()
    return {name: imports(path, known) - {name} for name, path in known.items()}


def part_of(module: str) -> str:
    """The part that a module belongs to."""
    names = module.split(".")[1:]
    return names[0] if names and (PACKAGE / names[0]).is_dir() else TOP


def floor_within(part: str, module: str) -> int:
    """Which of a part's `FLOORS` a module of it belongs to."""
    name = ".".join(module.split(".")[1:3])
    return FLOORS[part].index(name) if name in FLOORS[part] else 0


def circles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Some way round for each circle that a walk through the graph meets."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> None:
        if node in way:
            found.append([*way[way.index(node) :], node])
        elif node not in done:
            for other in sorted(edges.get(node, ())):
                walk(other, [*way, node])
            done.add(node)

    for node in sorted(edges):
        walk(node, [])
    return found


class StructureTest(SynchronousTestCase):
    def test_the_page_lists_every_part(self) -> None:
        there = {TOP} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
        self.assertEqual(set(parts()), there)

    def test_imports_go_downwards(self) -> None:
        floors = {name: floor for floor, name in enumerate(parts())}
        up = [
            f"{module} imports {other}"
            for module, others in graph().items()
            for other in sorted(others)
            if floors[part_of(module)] > floors[part_of(other)]
        ]
        self.assertEqual(up, [])

    def test_imports_go_downwards_within_a_part(self) -> None:
        up = [
            f"{module} imports {other}"
            for module, others in graph().items()
            for other in sorted(others)
            if (part := part_of(module)) == part_of(other)
            and part in FLOORS
            and floor_within(part, module) > floor_within(part, other)
        ]
        self.assertEqual(up, [])

    def test_no_circles(self) -> None:
        self.assertEqual(circles(graph()), [])

    def test_the_companion_takes_no_relay(self) -> None:
        taken = {
            part_of(other)
            for module, others in graph().items()
            if part_of(module) == "client"
            for other in others
        }
        self.assertEqual(taken - COMPANIONS_PARTS - PURE_FOR_THE_COMPANION, set())

    def test_the_companion_takes_no_io_of_those_parts(self) -> None:
        known = modules()
        edges = graph()
        todo = {
            other
            for module, others in edges.items()
            if part_of(module) == "client"
            for other in others
            if part_of(other) in PURE_FOR_THE_COMPANION
        }
        self.assertEqual({part_of(one) for one in todo}, PURE_FOR_THE_COMPANION)
        found: dict[str, set[str]] = {}
        while todo:
            module = todo.pop()
            found[module] = libraries(known[module]) & IO_LIBRARIES
            todo |= {
                one for one in edges[module] if part_of(one) in PURE_FOR_THE_COMPANION
            } - found.keys()
        self.assertEqual({name: those for name, those in found.items() if those}, {})
        beside = {part_of(one) for module in found for one in edges[module]}
        self.assertEqual(beside - COMPANIONS_PARTS - PURE_FOR_THE_COMPANION, set())

    def test_no_file_is_long(self) -> None:
        lengths = {
            name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()
        }
        self.assertEqual({name: n for name, n in lengths.items() if n > MOST_LINES}, {})

    def test_circles_are_found(self) -> None:
        edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
        self.assertEqual(circles(edges), [["b", "c", "b"]])
        self.assertEqual(circles({"a": {"b", "c"}, "b": {"c"}}), [])


class NamesTest(SynchronousTestCase):
    """One name, one meaning."""

    def test_a_type_is_defined_once(self) -> None:
        places = defaultdict(list)
        for module, path in modules().items():
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(module)
        self.assertEqual({name: at for name, at in places.items() if len(at) > 1}, {})

    def test_a_module_has_a_name_of_its_own(self) -> None:
        places = defaultdict(list)
        for module, path in modules().items():
            if path.name != "__init__.py":
                places[path.stem].append(module)
        self.assertEqual({name: at for name, at in places.items() if len(at) > 1}, {})
