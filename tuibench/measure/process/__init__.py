"""Worker processes: start, requests, events, time limits, end."""
