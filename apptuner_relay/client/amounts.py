"""Amounts for people: data in decimal units, as hosts bill it; memory in binary ones; big numbers
of things. Pure.

Two digits and no more: what is projected isn't known any better, and CSV and JSON have the rest.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

_DATA_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MEMORY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COUNT_UNITS = ("", "k", "M", "G")
_RATE_UNITS = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")


def data(size_bytes: Fraction | int) -> str:
    """Bytes in decimal units: `750 MB`, `7.5 GB`, `22 GB` (of 22.5: half goes to even)."""
    return _scaled(size_bytes, 1000, _DATA_UNITS)


def memory(size_bytes: Fraction | int) -> str:
    """Bytes in binary units: `512 MiB`, `1.5 GiB`."""
    return _scaled(size_bytes, 1024, _MEMORY_UNITS)


def rate(bits_per_s: Fraction | int) -> str:
    """Bits per second in decimal units: `100 Mbit/s`."""
    return _scaled(bits_per_s, 1000, _RATE_UNITS)


def count(things: Fraction | int) -> str:
    """A number of things that may be many: `750`, `22 M`, `484 M`."""
    return _scaled(things, 1000, _COUNT_UNITS).rstrip()


def number(value: Fraction | int) -> str:
    """A number that need not be whole, to two digits: `2,000`, `1.2`, `0.15`."""
    if value >= 10 or value == int(value):
        return f"{round(value):,}"
    return f"{float(value):.2g}"


def _scaled(value: Fraction | int, step: int, units: tuple[str, ...]) -> str:
    exact = Fraction(value)
    for unit in units[:-1]:
        text = _two_digits(exact)
        if text is not None and Decimal(text) < step:
            return f"{text} {unit}"
        exact /= step
    return f"{_two_digits(exact)} {units[-1]}"


def _two_digits(exact: Fraction) -> str:
    """One decimal below 10, if it isn't a zero; none from there on."""
    places = Decimal("0.1") if exact < 10 else Decimal(1)
    decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
    rounded = decimal.quantize(places, ROUND_HALF_EVEN)
    return f"{rounded:f}".removesuffix(".0")
