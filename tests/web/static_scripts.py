"""The pages' scripts in Node, without a page: those that touch no document."""

import json
import shutil
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import apptuner_relay.web
from tests.clients_js.javascript import output, program

STATIC = Path(apptuner_relay.web.__file__).parent / "static"


def evaluate(
    case: SynchronousTestCase, script: str, name: str, argument: Any, function: str = ""
) -> Any:
    """What a function returns that is exported by one of the scripts. A promise is waited for.

    :param argument: what it is called with, JSON as its value.
    :param function: an expression for another function, which uses that one.
    """
    directory = Path(case.mktemp()).resolve()
    directory.mkdir()
    for file in STATIC.glob("*.js"):
        shutil.copy(file, directory)
    # Node takes a file for a module when this says so.
    (directory / "package.json").write_text('{"type":"module"}')
    (directory / "argument.json").write_text(json.dumps(argument))
    program_text = (
        "import { readFileSync } from 'node:fs';"
        f"import {{ {name} }} from './{script}';"
        "const argument = JSON.parse(readFileSync('argument.json', 'utf8'));"
        f"const value = await {function or name}(argument);"
        "console.log(JSON.stringify(value));"
    )
    (directory / "evaluate.mjs").write_text(program_text)
    return json.loads(output([program("node"), "evaluate.mjs"], directory))
