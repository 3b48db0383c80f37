"""The wire: frames, messages, compression. Pure: no I/O, and nothing of Twisted."""
