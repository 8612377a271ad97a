"""What a run is: its plan, the events it consists of, their state, the records that are kept."""
