"""The flow: from the frames of one client to what others are sent."""
