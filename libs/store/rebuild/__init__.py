"""Rebuild and verify: make the tables again from the log, and prove that they are its fold."""
