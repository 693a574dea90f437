"""Health: whether the clock, the database and the whole installation are well. Nothing here writes."""
