#!/usr/bin/env bash
# PyPI twisted 26.10.0 (trial), Python 3.11.
#
# A test module may have a list named `suppress`, from which trial takes filters for warnings. Trial
# reads that attribute whatever it is: `from contextlib import suppress`, which is an ordinary line,
# makes every test of the module an error, also those that never use it, and the message names
# neither the module nor the line. `import contextlib` in its place is well.
#
# Output seen:
#   from contextlib import suppress: TypeError: 'ABCMeta' object is not iterable
#   import contextlib: PASSED (successes=1)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
write() {
    cat >"test_$1.py" <<PY
$2

from twisted.trial.unittest import SynchronousTestCase


class Arithmetic(SynchronousTestCase):
    def test_sum(self):
        self.assertEqual(1 + 1, 2)
PY
}
write from "from contextlib import suppress"
write whole "import contextlib"
{
    echo "from contextlib import suppress: $(venv/bin/python -m twisted.trial test_from 2>&1 | grep -m 1 -o 'TypeError: .*')"
    echo "import contextlib: $(venv/bin/python -m twisted.trial test_whole 2>&1 | tail -n 1)"
} | tee seen
diff - seen <<'TEXT'
from contextlib import suppress: TypeError: 'ABCMeta' object is not iterable
import contextlib: PASSED (successes=1)
TEXT
