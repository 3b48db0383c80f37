"""The median. Python's ``statistics`` brings fractions and decimals along, half a MiB for this."""

from collections.abc import Iterable


def median(values: Iterable[float]) -> float:
    """The value in the middle; of an even number of values, halfway between the two there.

    :raises IndexError: there are no values.
    """
    in_order = sorted(values)
    half = len(in_order) // 2
    return (in_order[half] + in_order[~half]) / 2
