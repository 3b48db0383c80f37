"""The service's side: connections to a provider, its HTTP API, and what is wrong with it."""
