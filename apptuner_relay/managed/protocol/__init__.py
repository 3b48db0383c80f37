"""The Pusher protocol and what goes through channels. No I/O, but `channel_service`, which names
what carries them."""
