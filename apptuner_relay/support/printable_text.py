"""Makes text that others have sent printable, before it gets into a log line, a terminal or a
page. Pure."""


def printable_line(text: str, most: int) -> str:
    """``text`` in one line of no more than ``most`` characters: what can't be printed is a space,
    several spaces are one."""
    if not text.isprintable() or "  " in text:
        text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return text[:most].strip()
