"""The spool: each session's cached bundle on disk, its lifetime, disk budget and content
address."""
