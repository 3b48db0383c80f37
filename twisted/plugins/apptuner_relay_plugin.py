"""Makes ``twistd apptuner-relay`` known to Twisted."""

from twisted.application.service import ServiceMaker

relay = ServiceMaker(
    "AppTuner Relay",
    "apptuner_relay.tap",
    "Streams React Native bundles from AppTuner's CLI to phones.",
    "apptuner-relay",
)
