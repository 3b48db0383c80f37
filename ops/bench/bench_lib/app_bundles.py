"""Real bundles: a small React Native app, bundled by Metro as it is and after each of some edits.

What is made stays in a cache folder: npm's packages, Metro's cache, and the bundles.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

APP = Path(__file__).resolve().parents[1] / "reload_app"
BASE = "base"
_MODULE = re.compile(r"^__d\(.*?^\},(\d+),\[[\d,]*\](?:,\"[^\"\n]*\")*\);$", re.M | re.S)
_RUNS = re.compile(r"^__r\(\d+\);$", re.M)
_FIRST_COPY_ID = 1_000_000


@dataclass(frozen=True)
class Edit:
    """One save of the app's developer."""

    name: str
    everyday: bool
    """Whether it is one of those that are made all day."""
    changes: tuple[tuple[str, str, str], ...]
    """A file of the app, a text that it has once, and what takes the place of that."""

    def apply(self, app: Path) -> None:
        """Make it in a copy of the app."""
        for name, old, new in self.changes:
            path = app / name
            text = path.read_text()
            if text.count(old) != 1:
                raise ValueError(f"{name} has {text.count(old)} times {old!r}")
            path.write_text(text.replace(old, new))


EDITS = (
    Edit(
        "a string in a component",
        True,
        (("src/screens/Shop.js", "Fresh from the farm", "Fresh from the farm today"),),
    ),
    Edit(
        "console.log",
        True,
        (
            (
                "src/screens/Basket.js",
                "    await sendOrder(lines);\n",
                "    console.log('ordering', lines.length);\n    await sendOrder(lines);\n",
            ),
        ),
    ),
    Edit(
        "an export renamed in four files",
        True,
        (
            ("src/money.js", "export const inEuros =", "export const formatEuros ="),
            *(
                (f"src/screens/{name}.js", old, old.replace("inEuros", "formatEuros"))
                for name, old in (
                    ("Shop", "import { inEuros }"),
                    ("Shop", "detail={inEuros("),
                    ("Orders", "import { inEuros }"),
                    ("Orders", "detail={inEuros("),
                    ("Basket", "import { inEuros,"),
                    ("Basket", "× ${inEuros("),
                    ("Basket", "detail={inEuros("),
                )
            ),
        ),
    ),
    Edit(
        "an import of a new module",
        False,
        (
            (
                "src/screens/Shop.js",
                "import { fetchProducts } from '../api';\n",
                "import { fetchProducts } from '../api';\n"
                "import { greeting } from '../greeting';\n",
            ),
            ("src/screens/Shop.js", "Fresh from the farm", "{greeting('Ada')}"),
        ),
    ),
    Edit(
        "a dependency added",
        False,
        (
            (
                "src/dates.js",
                "import moment from",
                "import dayjs from 'dayjs';\nimport moment from",
            ),
            ("src/dates.js", "format(time, 'EEEE d MMMM')", "dayjs(time).format('dddd D MMMM')"),
        ),
    ),
    Edit(
        "a side-effect import first in index.js",
        False,
        (
            (
                "index.js",
                "import { AppRegistry }",
                "import './src/tracing';\nimport { AppRegistry }",
            ),
        ),
    ),
)


def build(cache: Path, say: Callable[[str], None]) -> dict[str, str]:
    """The bundles by the name of their edit, and `BASE`, as Metro makes them. Those that are in
    ``cache``, of the same app, are taken from there.

    :raises RuntimeError: npm or Metro has failed. The text says how.
    """
    outputs = cache / "bundles" / _version()
    if not (cache / "node_modules" / ".package-lock.json").exists():
        say("npm installs the app's packages (a minute, 260 MB)")
        cache.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(APP / name, cache / name)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cache)
    for path in APP.glob("*.js"):
        shutil.copy(path, cache / path.name)
    outputs.mkdir(parents=True, exist_ok=True)
    bundles = {}
    for name, edit in {BASE: None, **{edit.name: edit for edit in EDITS}}.items():
        output = outputs / f"{name.replace(' ', '-')}.js"
        if not output.exists():
            say(f"Metro bundles the app: {name}")
            shutil.rmtree(cache / "app", ignore_errors=True)
            shutil.copytree(APP / "app", cache / "app")
            if edit is not None:
                edit.apply(cache / "app")
            made = output.with_suffix(".part.js")
            _run(["nice", "-n", "15", "node", "bundle.js", str(made)], cache)
            made.rename(output)
        bundles[name] = output.read_text()
    return bundles


def wrap(bundle: str, number: int) -> str:
    """``bundle`` in what AppTuner's CLI puts around it, which says when it was made.

    :param number: of the save.
    """
    sha256 = hashlib.sha256(b"%d" % number).hexdigest()
    bundle_id = "-".join((sha256[:8], sha256[8:12], sha256[12:16], sha256[16:20], sha256[20:32]))
    return (
        "(function() {\n'use strict';\nvar __APPTUNER__ = {};\n"
        f"{bundle}\n"
        f"__APPTUNER__.BUNDLE_ID = '{bundle_id}';\n"
        f"__APPTUNER__.BUNDLE_TIME = {1_764_412_800_000 + 7_919 * number};\n"
        "return __APPTUNER__;\n})();\n"
    )


def scale(bundle: str, base: str, size: int) -> str:
    """``bundle`` with copies of modules of ``base`` behind its own, up to about ``size`` bytes:
    those are the same for any bundle of the same base, and their ids are beyond all others.

    A bundle that has as many bytes by itself stays as it is.
    """
    wanted = size - len(base.encode())
    if wanted <= 0:
        return bundle
    modules = list(_MODULE.finditer(base))
    runs = _RUNS.search(bundle)
    if not modules or runs is None:
        raise ValueError("not a bundle of Metro's")
    copies: list[str] = []
    while wanted > 0:
        for module in modules:
            at, stop = module.span(1)
            number = _FIRST_COPY_ID + len(copies)
            text = module[0]
            copy = f"{text[: at - module.start()]}{number}{text[stop - module.start() :]}\n"
            copies.append(copy)
            wanted -= len(copy.encode())
            if wanted <= 0:
                break
    return bundle[: runs.start()] + "".join(copies) + bundle[runs.start() :]


def _version() -> str:
    """What the bundles are made of, as a name."""
    sha256 = hashlib.sha256(repr(EDITS).encode())
    for path in sorted(path for path in APP.rglob("*") if path.is_file()):
        sha256.update(path.relative_to(APP).as_posix().encode() + path.read_bytes())
    return sha256.hexdigest()[:12]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} has failed:\n{(done.stdout + done.stderr)[-2000:]}"
        )
