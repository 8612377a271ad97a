"""Pure vocabulary and arithmetic: events, specifications, state, metrics. No I/O, no clock, no UI."""
