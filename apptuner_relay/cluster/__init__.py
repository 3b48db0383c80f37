"""Many nodes: which of them owns a session, and how they hear of each other. No bundle passes."""
