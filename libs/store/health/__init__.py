"""Health: the state of the clock, the database and the whole installation. Nothing here writes."""
