"""Pages and actions of webhook endpoints and of what they were told."""
