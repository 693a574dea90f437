"""Executions of accounts with a daily limit: how many may still be decided, and who asks for more."""
