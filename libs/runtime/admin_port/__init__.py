"""The admin port: what has to hold for a process to be ready, and the server that says so."""
