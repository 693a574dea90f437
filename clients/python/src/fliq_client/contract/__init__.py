"""Contract: what the client has from the tables of the API, written by `make docs`: error codes, objects, request fields."""
