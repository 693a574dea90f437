"""Scripts: what make calls. Generated pages and dashboards, the lock, finding a Python."""
