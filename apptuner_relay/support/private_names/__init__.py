"""What the relay uses of Autobahn and Twisted that their documentation doesn't promise: under names
of ours, each of which says what it stands for. No other module uses a private name of theirs, so a
new version of either is judged by these modules and their test.

The classes here stand before those of Autobahn and Twisted, and have no rules of the relay's own:
what the relay does is in the classes that are derived from them.
"""
