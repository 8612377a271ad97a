"""What engines change in their process, and a worker may keep, is undone for the tests that follow."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _denormal_numbers():
    """ONNX Runtime makes the thread that opens a session flush denormal numbers to zero, for good."""
    yield
    torch.set_flush_denormal(False)
