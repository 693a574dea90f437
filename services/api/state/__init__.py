"""State: what the API knows and asks besides the request: tables, ends of the log, whether new work is taken."""
