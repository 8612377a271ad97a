"""A session's or a comparison's numbers for other programs and for people: one module per format."""
