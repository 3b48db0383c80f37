"""Managed WebSocket services: a channel of such a service is one more way into a session."""
