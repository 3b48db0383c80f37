"""Makes text that others have sent printable, before it gets into a log line, a terminal or a
page. Pure."""


def printable_line(text: str, most: int, ending: str = "…") -> str:
    """``text`` in one line of no more than ``most`` characters: what can't be printed is a space,
    several spaces are one. Where it is cut, it ends with ``ending``."""
    if not text.isprintable() or "  " in text:
        # What is cut off anyway isn't looked at.
        text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    line = text.strip()
    return line if len(line) <= most else line[: most - len(ending)].rstrip() + ending
