"""How many threads the pools of the libraries start with: each reads its own variable, once, when it is imported."""

from __future__ import annotations

_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def worker_environment(n_threads: int) -> dict[str, str]:
    """Return the variables of a process that computes: its threads, and that nothing is fetched."""
    return dict.fromkeys(_POOLS, str(n_threads)) | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
