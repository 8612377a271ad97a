"""What the libraries of a process that computes read of its environment, once, when they are imported."""

from __future__ import annotations

_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    # transformers copies weights on threads of its own, which run ahead of where they are put together: experts that
    # files hold one by one are then in memory twice (a third more than the whole model, measured), and no sooner.
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
}


def worker_environment(n_threads: int) -> dict[str, str]:
    """Return the variables of a process that computes with some threads: fetch nothing, load one thing at a time."""
    return dict.fromkeys(_POOLS, str(n_threads)) | _QUIET
