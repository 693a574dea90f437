"""State: what a handler needs besides the request: tables as new as the log, new ids, and whether new work is taken."""
