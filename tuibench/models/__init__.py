"""Where models come from: hub, folder, GGUF file, package wheel; always a local folder with safetensors in the end."""
