#!/usr/bin/env bash
# PyPI txredisapi 1.6.0 with twisted 26.10.0, Python 3.11, redis-server 7.0.
#
# With convertNumbers, which is the default, SubscriberProtocol hands the names of channels and the
# texts of messages to messageReceived as int or float where Python reads them as numbers: a
# subscriber of the channel "007" is told of channel 7, one of "1_000" of channel 1000 (the
# underscore is Python's, Redis knows no such number), and the message "0042" arrives as 42. Who
# keeps subscriptions by name finds none. convertNumbers=False gives text.
#
# Output seen:
#   channel '007': told of 7, message 42
#   channel '1_000': told of 1000, message 42
#   channel 'plain': told of 'plain', message 42
set -euo pipefail
command -v redis-server >/dev/null || { echo "needs Debian's redis-server"; exit 2; }
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check txredisapi==1.6.0 twisted==26.10.0
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' >redis.log &
server=$!
for _ in {1..100}; do ! grep -qi 'ready to accept connections' redis.log || break; sleep 0.1; done
cat >try.py <<'PY'
import sys

import txredisapi
from twisted.internet import defer, task
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol

CHANNELS = ["007", "1_000", "plain"]


class Subscriber(txredisapi.SubscriberProtocol):
    def connectionMade(self):
        super().connectionMade()
        self.subscribe(CHANNELS)

    def messageReceived(self, pattern, channel, message):
        self.told.callback((channel, message))


async def main(reactor):
    redis = await txredisapi.UnixConnection(sys.argv[1], reconnect=False)
    subscriber = Subscriber()
    await connectProtocol(UNIXClientEndpoint(reactor, sys.argv[1]), subscriber)
    while any(count == 0 for count in (await redis.execute_command("PUBSUB", "NUMSUB", *CHANNELS))[1::2]):
        await task.deferLater(reactor, 0.05)
    for name in CHANNELS:
        subscriber.told = defer.Deferred()
        await redis.publish(name, "0042")
        channel, message = await subscriber.told
        print(f"channel {name!r}: told of {channel!r}, message {message!r}")
    await redis.disconnect()


task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
PY
timeout 30 venv/bin/python try.py "$folder/redis.sock" | tee seen
diff - seen <<'TEXT'
channel '007': told of 7, message 42
channel '1_000': told of 1000, message 42
channel 'plain': told of 'plain', message 42
TEXT
