"""The embedded PostgreSQL: its programs, its settings, its user, and the server, which is started, adopted and stopped."""
