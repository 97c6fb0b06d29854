"""How things look in a terminal: pure functions from what was read to what rich prints."""
