"""Tests of `ops/chaos`, whose parts are found from here."""

import sys

from tests.live.processes import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "ops/chaos"))

from chaos_lib import checker

__all__ = ["checker"]
