"""Libs: what the services share, a room each; README.md has the map."""
