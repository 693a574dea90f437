"""What the API takes and shows about schedules. Pure."""
