"""Schema: the tables as they are made, by whom they are brought up to date, and which log they belong to."""
