"""The relay itself: one `Member` for each client, how clients come in, and how the relay stops."""
