#!/usr/bin/env bash
# Debian 12's haproxy 2.6.12-1+deb12u4, Python 3.11.
#
# A server may send 103 Early Hints (RFC 8297) before its final response, and a proxy passes 1xx
# responses on (RFC 9110 §15.2). HAProxy does so before a 200. In front of a 101, which it takes too
# when it comes alone, it doesn't: the client is answered 502, an invalid or incomplete response, and
# the upgrade is lost. 100 Continue before 101 does the same.
#
# Output seen:
#   GET, 200: 200
#   GET, 103 and 200: 103 200
#   upgrade, 101: 101
#   upgrade, 103 and 101: 502
#   upgrade, 100 and 101: 502
set -euo pipefail
folder=$(mktemp -d)
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
    libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4 2>apt.log ||
    { cat apt.log; echo "needs Debian 12's package lists (apt-get update)"; exit 2; }
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu"
cat >server.py <<'PY'
import base64
import hashlib
import re
import socketserver

LINES = {
    "100": [b"HTTP/1.1 100 Continue", b""],
    "103": [b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload; as=style", b""],
    "200": [b"HTTP/1.1 200 OK", b"Content-Length: 2", b"", b"ok"],
}


class Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        lines = []
        for status in head.split()[1].decode().strip("/").split("-"):
            lines += LINES.get(status) or self.switching(head)
        try:
            self.wfile.write(b"\r\n".join(lines))
            self.rfile.read(1)
        except OSError:
            pass

    def switching(self, head):
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = b"Sec-WebSocket-Accept: " + base64.b64encode(digest)
        fields = [b"Upgrade: websocket", b"Connection: Upgrade", accept]
        return [b"HTTP/1.1 101 Switching Protocols", *fields, b"", b""]


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
cat >try.py <<'PY'
import re
import socket
import sys

port = int(sys.argv[1])
UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
UPGRADE += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


def statuses(path, fields):
    response = b""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        lines = [f"GET /{path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields, "", ""]
        client.sendall("\r\n".join(lines).encode())
        try:
            while piece := client.recv(4096):
                response += piece
        except TimeoutError:
            pass
    return " ".join(one.decode() for one in re.findall(rb"HTTP/1.1 (\d+)", response))


print("GET, 200:", statuses("200", []))
print("GET, 103 and 200:", statuses("103-200", []))
print("upgrade, 101:", statuses("101", UPGRADE))
print("upgrade, 103 and 101:", statuses("103-101", UPGRADE))
print("upgrade, 100 and 101:", statuses("100-101", UPGRADE))
PY
python3 server.py >port &
started+=($!)
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
front=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >haproxy.cfg <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:$front
    default_backend back
backend back
    server one 127.0.0.1:$(cat port)
CFG
root/usr/sbin/haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
started+=($!)
for _ in {1..100}; do ! (: <"/dev/tcp/127.0.0.1/$front") 2>/dev/null || break; sleep 0.1; done
timeout 60 python3 try.py "$front" | tee seen
diff - seen <<'TEXT'
GET, 200: 200
GET, 103 and 200: 103 200
upgrade, 101: 101
upgrade, 103 and 101: 502
upgrade, 100 and 101: 502
TEXT
