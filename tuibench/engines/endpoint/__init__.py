"""Any OpenAI-compatible server that runs already, as a method: a fair client of its streaming API."""
