"""`doctor`: looks for what keeps bundles from a session's phones, from the name of the relay to the
phone's last word.

`examination` has the order of the checks. What touches the network (`dialing`, `tls_probe`,
`http_probe`, `probe_client`, `channel_probe`) only says what happened. What that means, and what to
do about it, is said by pure modules, whose names begin with `judge`.
"""

from apptuner_relay.client.doctor.command_line import COMMAND

__all__ = ["COMMAND"]
