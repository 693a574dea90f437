"""Dev: for a developer's machine: the services as processes of their own, and the demonstration."""
