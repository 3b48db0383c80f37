"""The connections between relays: clients whose sessions are on another relay, and sessions that
move to another relay."""
