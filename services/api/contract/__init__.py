"""Contract: what callers may send and what they are shown. Pure."""
