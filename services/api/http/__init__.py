"""HTTP: the server, reading requests, writing answers, tokens, and finding the handler of a route."""
