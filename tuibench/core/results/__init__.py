"""What records say: metrics, comparisons, how sure they are, verdicts."""
