"""The pages of docs/ that are made from the code are what it says."""

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "ops" / "docs"))

from docs_lib import pages  # noqa: E402


class GeneratedPagesTest(SynchronousTestCase):
    def test_all(self) -> None:
        for page in pages():
            written = (REPOSITORY / page.path).read_text("utf-8")
            self.assertEqual(
                written,
                page.render(),
                f"{page.path} is not what the code says: run .venv/bin/python ops/docs/run",
            )
