"""Makes ``twistd apptuner-relay`` known to Twisted."""

from apptuner_relay.service_maker import RelayMaker

relay = RelayMaker(
    "AppTuner Relay",
    "apptuner_relay.tap",
    "Streams React Native bundles from AppTuner's CLI to phones.",
    "apptuner-relay",
)
