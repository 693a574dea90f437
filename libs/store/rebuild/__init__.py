"""Rebuild and verify: the tables made again from the log, and the proof that they are its fold."""
