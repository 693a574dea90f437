"""Schedules: what their owner decides about them besides ticks."""
