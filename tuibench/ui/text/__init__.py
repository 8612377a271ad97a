"""What is shown, as plain values: no widget, no screen."""
