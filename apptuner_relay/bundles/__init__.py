"""A session's last bundle: spool, lifetime, disk budget, content address."""
