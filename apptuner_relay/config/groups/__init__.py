"""The groups of settings, a module each. `config.settings` has all of them."""
