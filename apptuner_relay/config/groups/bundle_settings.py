"""The cached bundles: the last one of each session."""

import os
from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import MIB, TIB, duration, size, spool_directory, switch

_SPOOL_DIR = f"/var/tmp/apptuner_relay_{os.getuid()}"
"""On disk, and of this user alone."""


@dataclass(frozen=True)
class BundleSettings:
    """The cached bundles: the last one of each session.

    Sizes are in bytes, times in seconds.
    """

    HEADING: ClassVar[str] = "Bundles"

    spool_dir: str | None = option(
        _SPOOL_DIR,
        spool_directory,
        "Directory for the cached bundles. Phones read them there, each at its own pace, also "
        "those that join late; so do HTTP clients. Several relays may use the same directory. "
        "off: cache none; senders then wait for slow phones, and the relay closes those that "
        "--slow-time is about",
    )
    spool_limit: int = option(
        "2GiB",
        size(MIB, 1024 * TIB),
        "Bytes that all files in --spool-dir may take. The relay evicts the bundles that were "
        "used least recently and that nobody reads. It relays a bundle that does not fit without "
        "caching it",
    )
    bundle_ttl: float = option(
        "10m",
        duration(1, 30 * 86400),
        "Drop a cached bundle that nobody has used for this time",
    )
    split_bundles: bool = option(
        "on",
        switch,
        "Whether phones that say platform=ios and chunks=1 get large bundles as chunk messages: "
        "bundles in one message above 1 MiB, or compressed above 64 KiB",
        tune=True,
    )
