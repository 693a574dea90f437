"""Following: what the services that act on the log share. Today: the partitions left to a newer build."""
