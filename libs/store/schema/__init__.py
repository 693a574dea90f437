"""Schema: the migrations that make the tables, the databases they are in, and the log they belong to."""
