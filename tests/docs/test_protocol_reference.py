"""docs/reference/protocol.md names all that the code says and reads, and its examples are JSON."""

import ast
import inspect
import json
import re
from http import HTTPStatus
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import apptuner_relay
from apptuner_relay.wire import frames, messages

PACKAGE = Path(apptuner_relay.__file__).parent
TEXT = (PACKAGE.parent / "docs" / "reference" / "protocol.md").read_text("utf-8")
NEVER_SENT = {frames.CLOSE_NO_STATUS, frames.CLOSE_ABNORMAL}
PEERS_ROOMS = ("cluster",)
"""What relays say to each other is no client's concern."""


def rows(heading: str) -> str:
    """What stands below a heading, up to the next one of its rank."""
    rank = heading.split(" ")[0]
    start = TEXT.index(f"\n{heading}\n")
    stop = re.compile(rf"\n#{{1,{len(rank)}}} ").search(TEXT, start + len(heading) + 2)
    return TEXT[start : stop.start() if stop else None]


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """The calls of what has that name, in the package's code that clients meet."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in PEERS_ROOMS:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name:
                found.append((path, node))
    return found


class ProtocolReferenceTest(SynchronousTestCase):
    def test_examples_are_messages(self) -> None:
        examples = re.findall(r"^    (\{.*\})$", TEXT, re.MULTILINE)
        self.assertGreater(len(examples), 15)
        for example in examples:
            self.assertIsInstance(json.loads(example)["type"], str)

    def test_every_message_of_the_relay(self) -> None:
        """Each has its fields in the example of the section with its name."""
        device = {"deviceId": "d", "deviceName": "n", "platform": "ios"}
        row = {"deviceId": "d", "name": "n", "platform": "ios", "connectedAt": 1}
        said = [
            messages.connected("0" * 64, "cli", 1),
            messages.pong(1),
            messages.error("text", 1),
            messages.mobile_connected(device, 1),
            messages.mobile_disconnected(device, 1),
            messages.device_list([row]),
            messages.bundle_unchanged("0" * 64, 1),
            messages.bundle_available("/bundles/A/0", "0" * 64, 1, 1),
            messages.bundle_id("0" * 64, 1, 1),
            messages.bundle_kept("0" * 64, 1),
            messages.bundle_wanted("base", 1),
            messages.console_warning("text", 1),
        ]
        builders = {
            name
            for name, function in inspect.getmembers(messages, inspect.isfunction)
            if function.__module__ == messages.__name__
            and "now_ms" in inspect.signature(function).parameters
        }
        events = {"cli_disconnected", "desktop_connected"}
        kinds = {json.loads(text)["type"] for text in said} - {"console_log"}
        self.assertEqual(builders, kinds - {"device_list"} | {"event", "console_warning"})
        for text in said:
            message = json.loads(text)
            [example] = re.findall(
                rf'^    (\{{"type":"{message["type"]}".*\}})$', TEXT, re.MULTILINE
            )
            self.assertEqual(list(json.loads(example)), list(message), message["type"])
        for kind in sorted(kinds | events):
            self.assertRegex(TEXT, rf"(?m)^#### .*\b{kind}\b", kind)

    def test_every_query_parameter(self) -> None:
        read = set()
        for path in (PACKAGE / "session", PACKAGE / "access"):
            for module in sorted(path.glob("*.py")):
                source = module.read_text("utf-8")
                read |= set(re.findall(r'first\("(\w+)"\)', source))
                read |= set(re.findall(r'fields\.get\("(\w+)"', source))
                read |= set(re.findall(r'_says\(query, "(\w+)"\)', source))
                for names in re.findall(r'for name in \(("\w+"(?:, "\w+")*)\)', source):
                    read |= set(re.findall(r'"(\w+)"', names))
        self.assertLessEqual({"deviceId", "have", "key", "token", "tokens"}, read)
        table = rows("### Query parameters")
        named = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
        self.assertEqual(named, read)

    def test_every_close_code(self) -> None:
        codes = {
            value
            for name, value in vars(frames).items()
            if name.startswith("CLOSE_") and isinstance(value, int)
        }
        named = {int(code) for code in re.findall(r"^\| (\d{4}) \|", rows("## Close codes"), re.M)}
        self.assertEqual(named, codes - NEVER_SENT)

    def test_every_status_of_a_refusal(self) -> None:
        raised = {
            call.args[0].value
            for path, call in calls("BadRequest")
            if path.parent.name != "web" and call.args and isinstance(call.args[0], ast.Constant)
        }
        named = {
            int(code)
            for code in re.findall(r"^\| (\d{3}) \|", rows("### Refused handshakes"), re.M)
        }
        self.assertLessEqual(raised, named)
        self.assertLessEqual(named, set(HTTPStatus))

    def test_links_lead_somewhere(self) -> None:
        anchors = {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
        }
        for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
            self.assertIn(anchor, anchors)

    def test_examples_are_short(self) -> None:
        """They are to be read on one screen."""
        for example in sorted((PACKAGE.parent / "docs" / "examples").iterdir()):
            if example.suffix in (".py", ".mjs"):
                lines = len(example.read_text("utf-8").splitlines())
                most = 70 if example.name == "channel_phone.mjs" else 50
            self.assertLessEqual(lines, most, example.name)
