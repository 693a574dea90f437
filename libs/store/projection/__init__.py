"""Projection: from folded events to rows: what changed, how a state stands in a row, and the statement that saves it."""
