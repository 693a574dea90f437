"""Leases: who serves which partition, how they are kept and shared out, and the report of them for operators."""
