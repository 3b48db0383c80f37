#!/usr/bin/env bash
# PyPI prometheus-client 0.26.0, Python 3.11.
#
# What a scraper accepts is written with weights, and q=0 means that it takes no such thing (RFC 9110
# §12.4.2). prometheus_client answers with OpenMetrics wherever a supported version of it is named in
# Accept, whatever its weight: before a plain text format that is preferred, and when it is excluded.
# Names of media types have no case (RFC 9110 §8.3.1); here they have: the same type with capital
# letters isn't recognized.
#
# Output seen:
#   application/openmetrics-text;version=1.0.0 -> openmetrics
#   text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.1 -> openmetrics
#   text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0 -> openmetrics
#   Application/OpenMetrics-Text;version=1.0.0 -> plain
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check prometheus-client==0.26.0
cat >try.py <<'PY'
from urllib.request import ProxyHandler, Request, build_opener

from prometheus_client import start_http_server

server, thread = start_http_server(0, "127.0.0.1")
opener = build_opener(ProxyHandler({}))
plain, metrics = "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"
capital = "Application/OpenMetrics-Text;version=1.0.0"
for accept in metrics, f"{plain}, {metrics};q=0.1", f"{plain}, {metrics};q=0", capital:
    request = Request(f"http://127.0.0.1:{server.server_port}/metrics", headers={"Accept": accept})
    with opener.open(request, timeout=10) as response:
        kind = response.headers["Content-Type"].split(";")[0]
    print(f"{accept} -> {'openmetrics' if 'openmetrics' in kind else kind.rpartition('/')[2]}")
server.shutdown()
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
application/openmetrics-text;version=1.0.0 -> openmetrics
text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.1 -> openmetrics
text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0 -> openmetrics
Application/OpenMetrics-Text;version=1.0.0 -> plain
TEXT
