"""Groups: methods of the client that have a module of their own."""
