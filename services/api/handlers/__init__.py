"""Handlers: what each route does."""
