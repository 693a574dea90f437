"""Request fields that are objects with fields of their own, each in a module."""
