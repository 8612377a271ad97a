"""onnxruntime-genai, on graphs that its own builder writes."""
