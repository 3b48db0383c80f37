"""What `ops/package` is made of."""
