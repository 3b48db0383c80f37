"""Texts for tests of patches: those that look like bundles, and those that look for trouble."""

from hypothesis import strategies as st

AWKWARD = 'ab\n\r\n;{}"\\/\u2028\u2029\ufeff\x00\x7fé€\ud7ff\ue000😀🛒🛍'
"""Lines of every kind, characters of every length in UTF-8 and UTF-16, and pairs of which the first
halves are the same."""
LINES = st.lists(
    st.sampled_from(["  const a = require('b');", "", "});", "é" * 20, "🛒🛍🛒 cart", "x" * 70])
    | st.text(st.sampled_from(AWKWARD), max_size=60),
    max_size=60,
)
ENDS = st.sampled_from(["\n", "\r\n", ""])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text in lines."""
    return draw(st.sampled_from(["", "\ufeff"])) + draw(ENDS).join(draw(LINES))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two builds of a text: some places of it are changed, and there is some more of it."""
    filling = "".join(f"line {number} é\n" for number in range(draw(st.sampled_from([0, 400]))))
    old = draw(texts()) + filling + draw(texts())
    new = old
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(new)))
        end = min(len(new), start + draw(st.integers(0, 20)))
        new = new[:start] + draw(st.text(st.sampled_from(AWKWARD), max_size=10)) + new[end:]
    return old, new


def in_javascript(base: str, edits: list[list[object]]) -> str:
    """What a phone makes of ``base``: it counts, and slices, UTF-16 code units."""
    utf16 = base.encode("utf-16-le")
    made, at = b"", 0
    for start, end, text, *old in edits:
        assert isinstance(start, int) and isinstance(end, int) and isinstance(text, str)
        for check in old:
            assert isinstance(check, str)
            replaced = utf16[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
            assert replaced.startswith(check)
        made += utf16[2 * at : 2 * start] + text.encode("utf-16-le")
        at = end
    return (made + utf16[2 * at :]).decode("utf-16-le")
