"""Runs a coroutine that seldom has to wait for anything."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

_Result = TypeVar("_Result")


def run_eagerly(
    coroutine: Coroutine[Deferred[Any], Any, _Result],
    done: Callable[[_Result], None],
    failed: Callable[[BaseException], None],
) -> None:
    """Run ``coroutine``, and call ``done`` with what it returns, or ``failed`` with what it raises:
    before this returns, where it waits for nothing. A Deferred would cost as much as many a
    coroutine does.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        done(end.value)
    except Exception as wrong:
        failed(wrong)
    else:
        Deferred.fromCoroutine(_go_on(coroutine, awaited)).addCallbacks(
            done, lambda failure: failed(failure.value)
        )


def _go_on(
    coroutine: Coroutine[Deferred[Any], Any, _Result], awaited: Deferred[Any]
) -> Generator[Deferred[Any], Any, _Result]:
    """Have the coroutine, which has begun, run on when what it waits for is there."""
    while True:
        wrong: BaseException | None = None
        value: Any = None
        try:
            value = yield awaited
        except BaseException as raised:
            wrong = raised
        try:
            awaited = coroutine.send(value) if wrong is None else coroutine.throw(wrong)
        except StopIteration as end:
            result: _Result = end.value
            return result
