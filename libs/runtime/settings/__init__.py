"""Settings: the table of every `FLIQ_*` variable, how their text becomes values, and the values of this process."""
