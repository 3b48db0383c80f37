"""apptuner_relay/web/static/advice.html: what to do about each warning, as the relay itself serves
it, from the section on warnings of docs/how-to/troubleshoot.md.

It takes the little Markdown that is used there: paragraphs, lists, code, and links, of which the
page names the file, as a relay doesn't serve it.
"""

import posixpath
import re
from html import escape
from pathlib import Path

PATH = "apptuner_relay/web/static/advice.html"
REPOSITORY = Path(__file__).resolve().parents[3]
SOURCE = "docs/how-to/troubleshoot.md"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>What to do about warnings · AppTuner Relay</title>
  <link rel="icon" href="static/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="static/page.css">
  <link rel="stylesheet" href="static/advice.css">
</head>
<body>
  <!-- ops/docs/run makes this page from {source}. -->
  <main class="advice">
    <h1>What to do about warnings</h1>
    <p><a href=".">The status page</a> has those that are active.</p>
{sections}
  </main>
</body>
</html>
"""


def advice_sections(text: str) -> dict[str, str]:
    """The Markdown of each warning, by its name."""
    _, _, rest = text.partition("\n## Warnings\n")
    section = rest.partition("\n## ")[0]
    parts = re.split(r"(?m)^### `(\w+)`$", section)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def render() -> str:
    """The page."""
    found = advice_sections((REPOSITORY / SOURCE).read_text("utf-8"))
    sections = [
        f'    <section id="{name}">\n      <h2><code>{name}</code></h2>\n{_blocks(text)}'
        "    </section>"
        for name, text in found.items()
    ]
    return _PAGE.format(source=SOURCE, sections="\n".join(sections))


def _blocks(text: str) -> str:
    lines = []
    for block in re.split(r"\n{2,}", text.strip()):
        items = [item.removeprefix("- ") for item in block.split("\n")]
        if all(item.startswith("- ") for item in block.split("\n")):
            lines += ["<ul>", *(f"  <li>{_inline(item)}</li>" for item in items), "</ul>"]
        else:
            lines.append(f"<p>{_inline(' '.join(items))}</p>")
    return "".join(f"      {line}\n" for line in lines)


def _inline(text: str) -> str:
    def link(found: "re.Match[str]") -> str:
        path, _, _ = found[2].partition("#")
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(SOURCE), path))
        return f"{found[1]} (<code>{whole}</code>)"

    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\[([^]]+)\]\(([^)]+)\)", link, text)
