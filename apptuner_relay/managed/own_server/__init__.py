"""What clients of channels ask of the relay over its own port: to be let in, and the
Pusher protocol on ``/app/KEY``."""
