"""Pages and actions of jobs, and of those that failed."""
