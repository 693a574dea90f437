"""`fliq accounts` and `fliq tokens`: who uses this installation, and with what."""
