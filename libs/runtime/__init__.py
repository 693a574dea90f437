"""
The process: settings, clock, life cycle, logging, metrics, probes, and the database that comes along.

Knows nothing of jobs: it imports no other library of ours, and everything else may stand on it.
"""
