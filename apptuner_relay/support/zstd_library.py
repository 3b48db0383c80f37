"""The library that codes against a dictionary (RFC 9842's ``dcz``): `compression.zstd` of Python
3.14, or ``backports.zstd``, which is the same for earlier ones. It is optional.

The library zstandard, which codes without, is no substitute: against code of millions of bytes it
finds next to nothing of what is the same.
"""

import importlib
from importlib.util import find_spec
from typing import Any

_NAMES = ("compression.zstd", "backports.zstd")


def is_installed() -> bool:
    """Whether `load` gives something. Loads nothing."""
    return _name() is not None


def load() -> Any:
    """The library's module; None where there is none."""
    name = _name()
    return None if name is None else importlib.import_module(name)


def _name() -> str | None:
    for name in _NAMES:
        try:
            if find_spec(name) is not None:
                return name
        except ModuleNotFoundError:
            # There is no package of that name, either.
            continue
    return None
