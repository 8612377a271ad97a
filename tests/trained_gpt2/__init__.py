"""A byte-level GPT-2 with trained weights: `train.py` is its recipe, the files beside it what that made."""

from pathlib import Path

FOLDER = Path(__file__).parent / "model"
