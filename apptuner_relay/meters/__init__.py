"""What an operator is told: counters of what passes, days, worries, the log's lines, alerts.

`meters.Meters` is what all of it is read from. It is pure: the data path increments integers of
`traffic`, the service says who comes and goes, and `reporting` makes the lines, files and alerts of
it, which are the only I/O in here.
"""
