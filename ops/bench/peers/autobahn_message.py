"""The lean forwarder on Autobahn's message API and Twisted: whole messages in, whole
messages out.  What one gets by writing the relay the way Autobahn's examples do."""

import sys
import time

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor

LIMIT = 50 * 1024 * 1024
PING = b'{"type":"ping"'


class Relay(WebSocketServerProtocol):
    """One client: /cli/SESSION or /mobile/SESSION."""

    role = ""

    def onConnect(self, request):
        _, self.role, self.session = request.path.split("/")

    def onOpen(self):
        room = self.factory.sessions.setdefault(self.session, {"cli": [], "mobile": []})
        self.targets = room["mobile" if self.role == "cli" else "cli"]
        self.mine = room[self.role]
        self.mine.append(self)
        self.say("connected")

    def say(self, kind):
        now = int(time.time() * 1000)
        self.sendMessage(b'{"type":"%s","timestamp":%d}' % (kind.encode(), now))

    def onMessage(self, payload, isBinary):
        if payload.startswith(PING):
            self.say("pong")
            return
        for target in self.targets:
            target.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        if self.role and self in getattr(self, "mine", ()):
            self.mine.remove(self)
            if not self.mine and not self.targets:
                self.factory.sessions.pop(self.session, None)


def main():
    factory = WebSocketServerFactory()
    factory.protocol = Relay
    factory.sessions = {}
    factory.setProtocolOptions(maxMessagePayloadSize=LIMIT, maxFramePayloadSize=LIMIT)
    reactor.listenTCP(int(sys.argv[1]), factory, backlog=1024, interface="127.0.0.1")
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
