"""Acting as the user that the relay is going to be: twistd changes it (``--uid``) after the parts
are made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def acting_as(uid: int | None, gid: int | None) -> Iterator[None]:
    """Act as another user and group for a while; None for the present ones. Only root can. The
    whole process does, other threads as well."""
    me, mine = os.geteuid(), os.getegid()
    try:
        if gid is not None:
            os.setegid(gid)
        if uid is not None:
            os.seteuid(uid)
        yield
    finally:
        if uid is not None:
            os.seteuid(me)
        if gid is not None:
            os.setegid(mine)
