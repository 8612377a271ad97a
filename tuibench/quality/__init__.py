"""How far a method's predictions are from the FP32 reference's: divergence, perplexity, agreement on one text."""
