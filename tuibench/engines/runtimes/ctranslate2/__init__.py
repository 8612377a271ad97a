"""CTranslate2, on files that its own converter writes."""
