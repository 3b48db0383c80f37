"""What the operator is told: counters, warnings, the log, and the metrics of each day."""
