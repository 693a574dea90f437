"""What the log and the tables share of how they speak with PostgreSQL."""
