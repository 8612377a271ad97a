"""What a comparison shows, for any surface."""
