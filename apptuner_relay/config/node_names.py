"""The names and addresses of the nodes of a cluster. Pure."""

import re

_NODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ADDRESS = re.compile(r"wss?://[A-Za-z0-9.:\[\]_-]{1,255}")


def check_node(node: str) -> str:
    """Return ``node``.

    :raises ValueError: it can't be the id of a node.
    """
    if not _NODE.fullmatch(node):
        raise ValueError("a node's id must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return node


def check_address(address: str) -> str:
    """Return ``address``.

    :raises ValueError: it is not an address at which other nodes could reach a node.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError("a node's address must look like ws://10.0.0.5:3000 or wss://relay-1:3000")
    return address
