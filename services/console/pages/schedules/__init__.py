"""Pages and actions of schedules."""
