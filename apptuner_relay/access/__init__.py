"""Who may do what, and how often: claims, join tokens, origins, limits."""
