"""The process that has imported all that a relay needs, and forks relays: see `forked_relays`.

Run as ``python -m tests.live.relay_forge FD``. An order on that socket is a packet of JSON with
``argv``, ``env`` and ``cwd``, and two descriptors: the relay's standard output and error. It is
answered with ``{"forked":PID}``, and when that process ends with ``{"ended":PID,"status":…}``.
"""

import atexit
import json
import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

ORDER_BYTES = 200_000
_MOST_DESCRIPTORS = 4096


def main(control: socket.socket) -> None:
    """Take orders until nobody is left who gives any."""
    import twisted.scripts.twistd  # noqa: F401

    import apptuner_relay.tap  # noqa: F401

    assert "twisted.internet.reactor" not in sys.modules, "processes can't share a reactor"
    poll, children = select.poll(), dict[int, int]()
    poll.register(control, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd in children:
                pid = children.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                status = os.waitpid(pid, 0)[1]
                control.send(json.dumps({"ended": pid, "status": status}).encode())
                continue
            order, fds, _, _ = socket.recv_fds(control, ORDER_BYTES, 2)
            if not order:
                return
            pid = os.fork()
            if not pid:
                _be_a_relay(json.loads(order), fds)
            for each in fds:
                os.close(each)
            exited = os.pidfd_open(pid)
            children[exited] = pid
            poll.register(exited, select.POLLIN)
            control.send(json.dumps({"forked": pid}).encode())


def _be_a_relay(order: Mapping[str, Any], output: Sequence[int]) -> None:
    """Run twistd as the order says, and exit."""
    code = 1
    try:
        for fd, number in zip(output, (1, 2), strict=True):
            os.dup2(fd, number)
        os.closerange(3, _MOST_DESCRIPTORS)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        sys.argv = list(order["argv"])
        code = _run_twistd()
    except BaseException:  # this process must not go on as the forge
        traceback.print_exc()
    finally:
        os._exit(code)


def _run_twistd() -> int:
    """As Python would: returns the exit code."""
    from twisted.scripts.twistd import run

    code: object = 0
    try:
        run()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
