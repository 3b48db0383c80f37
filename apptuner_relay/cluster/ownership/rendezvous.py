"""Rendezvous hashing: all relays choose the same node for a session, without asking each other.
Pure."""

import hashlib


def weight(session: str, node: str) -> bytes:
    """Of several nodes, the one with the greatest weight has the session."""
    return hashlib.sha256(f"{session} {node}".encode()).digest()
