"""Contract: what callers may send and what they get back: fields, routes, error codes, JSON. Pure."""
