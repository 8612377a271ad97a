"""The process that runs one method: reads requests, drives an engine, reports events."""
