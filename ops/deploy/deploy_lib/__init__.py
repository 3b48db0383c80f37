"""What ops/deploy/deploy is made of. It needs the standard library only."""
