"""The session's side: the users of a session's channel as clients of the relay."""
