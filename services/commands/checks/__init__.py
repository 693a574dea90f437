"""Checks: what `fliq doctor` looks at, and what it makes of it."""
