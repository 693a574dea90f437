"""Keys that a start needs: API tokens that exist from the first day, and the master key of what is sealed."""
