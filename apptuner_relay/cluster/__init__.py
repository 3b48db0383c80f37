"""Several relays that share their sessions: which of them owns a session (`ownership`), how clients
of the others reach it (`bridge`), and where clients are placed."""
