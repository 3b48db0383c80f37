"""Sessions: roles and places, who hears what, and who is told of whom. Pure."""
