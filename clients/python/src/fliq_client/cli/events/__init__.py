"""Events: the commands that follow the stream of events."""
