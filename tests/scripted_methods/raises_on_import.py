"""A plug-in that was made for another version of something."""

raise RuntimeError("made for\n\x1b[31manother version")
