"""The parent side of a measurement: worker processes, the order of trials, the machine."""
