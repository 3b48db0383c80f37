"""The directory, in which it is written which node owns a session. No message of a client passes
through it."""
