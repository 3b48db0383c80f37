"""Reads the code out of a cached bundle: for HTTP, and for its content address."""
