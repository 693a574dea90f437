"""When a schedule ticks. Pure: what is read of clocks and zone data is an argument."""
