"""Tests of `ops/bench`, whose parts are found from here."""

import sys

from tests.live.processes import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "ops/bench"))

from bench_lib import app_bundles

__all__ = ["app_bundles"]
