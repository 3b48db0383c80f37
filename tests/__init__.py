"""The tests. What hypothesis makes up is the same in every run, so that none fails by chance;
``HYPOTHESIS_PROFILE=random`` makes it up anew."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
