"""Projection: from folded events to rows. What changed, how a state stands in a row, and the statement that writes a flush."""
