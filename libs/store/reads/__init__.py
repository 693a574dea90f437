"""Reads: what the API shows of one account, and what owners and dispatchers read of one partition."""
