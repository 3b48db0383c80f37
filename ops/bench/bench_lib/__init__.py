"""The parts of `ops/bench/run`; see ops/bench/README.md."""
