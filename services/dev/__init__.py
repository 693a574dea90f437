"""Dev: tools for a developer's machine: `make up` (each service as a process of its own) and `make demo`."""
