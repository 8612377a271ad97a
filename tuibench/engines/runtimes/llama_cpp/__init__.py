"""llama.cpp, from the prebuilt library that the package xllamacpp carries."""
