"""What a reader who was not there needs: when and where it was measured, the choices in a few rows, the words used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuibench.core import format as fmt
from tuibench.core.present.columns import Column
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import METRICS
from tuibench.core.results.row import REFERENCE
from tuibench.core.results.verdict import recommend

_WORDS = {
    "yardstick": "decode speed relative to that method in the same run, with its 95 % interval",
    "step": "decode speed relative to the method that this one builds on, with its 95 % interval",
    "first": "decode speed relative to the same method in the first session, with its 95 % interval",
    "itl_p50_ns": "time between two tokens: half of them came sooner",
    "itl_p99_ns": "time between two tokens: 99 of 100 came sooner",
    "mbu": "memory bandwidth utilisation: bytes read per second of decoding ÷ what this machine reads at most",
    "bytes_per_token": "weights and KV-cache read for one token",
    "kld": f"mean Kullback-Leibler divergence of the predictions from those of {REFERENCE} in FP32, in nats per token; "
    "0 is equal",
    "top1": "how often the most likely token is the one of FP32",
    "perplexity": "exponential of the mean cross-entropy on the text: lower predicts it better",
    "text": f"whether it wrote what {REFERENCE} wrote, else the first token that differs",
    "reference": f"how the predictions of {REFERENCE} were computed, where its weights were not in memory in FP32",
    "observer": "CPU that watching took while it measured",
    "pareto": "★: no other method is both faster and closer to FP32",
    "trials": "trials that count",
}


def origin_line(comparison: Comparison, run: int) -> str | None:
    """Return when, on which machine and with which model a run was measured; None where nothing of it is known."""
    measured = comparison.runs[run]
    when = measured.created.strftime("%Y-%m-%d %H:%M %Z").rstrip() if measured.created else None
    threads = fmt.counted(measured.n_threads, "thread")
    parts = (when, measured.facts.get("model"), measured.facts.get("cpu"), threads if measured.facts else None)
    told = [fmt.printable_line(part) for part in parts if part]
    return " · ".join(told) or None


def choices(comparison: Comparison, run: int) -> Mapping[str, tuple[str, ...]]:
    """Return the methods worth a look, each with what it is: the fastest, the identical and the smallest one."""
    found = recommend(comparison, run)
    named: dict[str, tuple[str, ...]] = {}
    for what, method in (("fastest", found.fastest), ("identical", found.identical), ("smallest", found.smallest)):
        if method is not None:
            named[method] = (*named.get(method, ()), what)
    return named


def glossary(columns: Sequence[Column]) -> dict[str, str]:
    """Return the definitions of the columns that have one, by heading."""
    known = {**{metric.id: metric.formula for metric in METRICS}, **_WORDS}
    return {column.heading: known[column.id] for column in columns if column.id in known}
