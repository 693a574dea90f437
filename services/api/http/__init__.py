"""HTTP: the server, requests and answers, tokens, and the table of routes."""
