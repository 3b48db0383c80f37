"""What the relay's port serves: the WebSocket paths, and plain HTTP resources beside them."""
