"""What the scheduler does for its tables not to grow: owners decide what is forgotten, and its rows are deleted."""
