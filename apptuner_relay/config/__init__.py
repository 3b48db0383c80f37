"""Options: their table in groups, their parsers, and the settings that are made of them."""
