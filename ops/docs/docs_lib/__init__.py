"""Makes pages of docs/ from the code: options, states, commands and so on.

A generator is a module here with `PATH`, the page's path from the repository's root, and `render`,
which returns all of its text; or with `pages`, which yields both of several. `run` writes the
pages; tests/docs/test_generated.py compares them.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

GENERATORS = (
    "advice",
    "companion",
    "completion",
    "log_lines",
    "man_pages",
    "metrics",
    "options",
    "relay_toml",
    "states",
)
"""Modules of this package, each of which makes a page."""


class Page(NamedTuple):
    """A page that is made from the code."""

    path: str
    """From the repository's root."""
    render: Callable[[], str]
    """Returns the page's text."""


def pages() -> Iterator[Page]:
    """All of them."""
    for name in GENERATORS:
        module = import_module(f"docs_lib.{name}")
        if hasattr(module, "pages"):
            for path, text in module.pages():
                yield Page(path, lambda text=text: text)
        else:
            yield Page(module.PATH, module.render)
