"""Sharing: what the accounts of one partition share, and who waits for it."""
