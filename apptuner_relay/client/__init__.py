"""The companion program `apptuner-relay`: one client of each kind, for terminals and scripts.

It speaks to a relay over the wire only. It imports nothing of the relay's own rooms, so that it
works as well against a relay of another version, or against one that is no part of this project.
"""
