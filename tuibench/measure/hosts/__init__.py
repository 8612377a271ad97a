"""The machines that a run takes place on: this one, and others through a launcher that gets there."""
