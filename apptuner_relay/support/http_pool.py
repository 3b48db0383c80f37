"""HTTP requests that the relay makes itself: what all of them share."""

from typing import Any


def quiet_pool(reactor: Any, idle_s: int | None = None) -> Any:
    """An agent's connections, which don't log a line each when they begin and when they end.

    :param idle_s: how long a connection is kept for another request. None for one request each.
    """
    # It brings a good deal of code, which most relays needn't hold.
    from twisted.web.client import HTTPConnectionPool

    from apptuner_relay.support.private_names.of_twisted import wrap_pool_factory

    def quieten(factory: Any) -> Any:
        factory.noisy = False
        return factory

    pool = HTTPConnectionPool(reactor, persistent=idle_s is not None)
    if idle_s is not None:
        pool.cachedConnectionTimeout = idle_s
        # Whoever asks knows whether a request may be sent twice.
        pool.retryAutomatically = False
    wrap_pool_factory(pool, quieten)
    return pool
