"""Runs that go on without whoever started them: on this machine, on a host, in a queue."""
