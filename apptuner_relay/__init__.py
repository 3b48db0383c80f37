"""AppTuner Relay: streams React Native bundles from a CLI to the phones of its session."""

__version__ = "0.2.0"
