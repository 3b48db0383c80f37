"""HTTP requests that the relay makes itself: what all of them share."""

from typing import Any


def quiet_pool(reactor: Any) -> Any:
    """An agent's connections, one for each request, which don't log a line each when they begin and
    when they end."""
    # It brings a good deal of code, which most relays needn't hold.
    from twisted.web.client import HTTPConnectionPool

    pool = HTTPConnectionPool(reactor, persistent=False)
    made = pool._factory

    def make(*arguments: Any) -> Any:
        factory = made(*arguments)
        factory.noisy = False
        return factory

    pool._factory = make  # type: ignore[assignment]
    return pool
