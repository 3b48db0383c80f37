#!/usr/bin/env bash
# PyPI hypothesis 6.170.17, Python 3.11.
#
# `derandomize=True` is to make a test's examples the same in every run. They are, for one set of
# imported modules: Hypothesis looks for constants in all local modules that the process has
# imported and mixes them into what it makes. So the same test, with the same seed of its own source,
# gets other examples when another module is imported that it never uses; as when a suite is run
# whole instead of by itself. A failure of the whole suite may not come back in the test alone.
#
# Output seen:
#   alone, twice: the same examples
#   with an unused module imported, twice: the same examples
#   alone and with it: other examples
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hypothesis==6.170.17
cat >try.py <<'PY'
import hashlib
import sys

if "unused" in sys.argv:
    import unused
from hypothesis import given, settings
from hypothesis import strategies as st

seen = []


@settings(derandomize=True, database=None, max_examples=200)
@given(st.integers())
def collect(number):
    seen.append(number)


collect()
print(hashlib.sha256(repr(seen).encode()).hexdigest())
PY
cat >unused.py <<'PY'
LIMIT = 31_337_000
WORDS = ("north", "south")
PY
compare() { [ "$1" = "$2" ] && echo "the same examples" || echo "other examples"; }
alone=$(timeout 60 venv/bin/python try.py)
beside=$(timeout 60 venv/bin/python try.py unused)
{
    echo "alone, twice: $(compare "$alone" "$(timeout 60 venv/bin/python try.py)")"
    echo "with an unused module imported, twice: $(compare "$beside" "$(timeout 60 venv/bin/python try.py unused)")"
    echo "alone and with it: $(compare "$alone" "$beside")"
} | tee seen
diff - seen <<'TEXT'
alone, twice: the same examples
with an unused module imported, twice: the same examples
alone and with it: other examples
TEXT
