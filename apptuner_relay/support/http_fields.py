"""The header fields of HTTP messages that are written."""

from collections.abc import Sequence

HttpFields = Sequence[tuple[str, str]]
"""Names and values."""
