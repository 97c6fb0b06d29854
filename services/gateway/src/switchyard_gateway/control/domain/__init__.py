"""What control decides, as values and functions of values: no network, no files, no clock."""
