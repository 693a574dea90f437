"""OpenAPI: the description of the API for machines, made from the tables of the contract."""
