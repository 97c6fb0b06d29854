"""Feedback: the door by which products say what was decided (Y′) and what then happened (X′)."""
