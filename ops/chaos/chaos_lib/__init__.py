"""The parts of `ops/chaos/run`."""
