#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# sd_listen_fds(3) passes sockets by LISTEN_PID and LISTEN_FDS; LISTEN_FDNAMES is the newer and
# optional part, and a supervisor that knows only the protocol's first version (before systemd 227)
# leaves it out. Twisted then takes none of the sockets: ListenFDs.fromEnvironment().inheritedDescriptors()
# is empty, and the endpoint systemd:domain=INET:index=0 fails with an IndexError, as if nothing
# had been passed. With names, whatever they are, the same sockets are there.
#
# Output seen:
#   with LISTEN_FDNAMES: [3, 4]
#   without: []
#   systemd:domain=INET:index=0 without: IndexError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
import os

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.python.systemd import ListenFDs

base = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
named = ListenFDs.fromEnvironment({**base, "LISTEN_FDNAMES": "web:web"})
print("with LISTEN_FDNAMES:", named.inheritedDescriptors())
print("without:", ListenFDs.fromEnvironment(dict(base)).inheritedDescriptors())
os.environ.update(base)
try:
    serverFromString(reactor, "systemd:domain=INET:index=0")
    what = "an endpoint"
except Exception as error:
    what = type(error).__name__
print("systemd:domain=INET:index=0 without:", what)
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
with LISTEN_FDNAMES: [3, 4]
without: []
systemd:domain=INET:index=0 without: IndexError
TEXT
