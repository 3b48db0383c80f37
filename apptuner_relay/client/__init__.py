"""The companion program `apptuner-relay`: one client of each kind, for terminals and scripts.

It speaks to a relay over the wire only. Of the package it imports leaf modules (the wire, session
ids, tokens, clocks), so that it works with relays of other versions, and of other projects.
"""
