"""For a process whose wall clock a test sets: it is as many seconds ahead as the file says that
``SET_CLOCK`` names. Python imports this first. The machine's own clock stays as it is."""

import os
import time
from pathlib import Path

_FILE = Path(os.environ["SET_CLOCK"])
_true_time, _true_time_ns = time.time, time.time_ns


def _ahead_s() -> float:
    return float(_FILE.read_text())


time.time = lambda: _true_time() + _ahead_s()
time.time_ns = lambda: _true_time_ns() + int(_ahead_s() * 1e9)
