"""What the relay advises about warnings: some words for each of them, and for no other."""

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

sys.path.append(str(Path(__file__).resolve().parents[2] / "ops" / "docs"))

from docs_lib import advice, metrics

TEXT = """
# Page

## Warnings

Some words.

### `one`

Look at `a < b` and at [the other](other.md#place):

- this
- that

### `two`

Nothing.

## Next

### `three`
"""


class AdviceTest(SynchronousTestCase):
    def test_every_warning_has_some(self) -> None:
        source = Path(advice.REPOSITORY, advice.SOURCE).read_text("utf-8")
        self.assertEqual(set(advice.advice_sections(source)), set(metrics.WARNINGS))

    def test_markdown(self) -> None:
        found = advice.advice_sections(TEXT)
        self.assertEqual(list(found), ["one", "two"])
        html = advice._blocks(found["one"])
        self.assertIn("<code>a &lt; b</code>", html)
        self.assertIn("the other (<code>docs/how-to/other.md</code>):</p>", html)
        self.assertEqual(html.count("<li>"), 2)
