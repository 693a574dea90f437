"""Telemetry: log lines, what may leave in them, metrics and traces."""
