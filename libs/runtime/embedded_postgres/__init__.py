"""The embedded PostgreSQL: its programs, its settings, its user, and the server that is started, adopted and stopped."""
