"""Limits: how much of something there may be, which follows the time. Pure."""
