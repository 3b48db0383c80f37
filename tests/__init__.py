"""The tests. What hypothesis makes up is the same in every run, so that none fails by chance;
``HYPOTHESIS_PROFILE=random`` makes it up anew, and ``few`` makes little up: where the libraries
are tried and not the logic."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.register_profile("few", derandomize=True, deadline=None, max_examples=5)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
