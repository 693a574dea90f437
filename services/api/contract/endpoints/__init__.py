"""Webhook endpoints in the API: their fields, their changes, and how they are shown. Pure."""
