"""Sockets and Autobahn: endpoints, TLS, PROXY headers, and the WebSocket connection."""
