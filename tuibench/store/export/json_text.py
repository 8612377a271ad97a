"""JSON: whole comparisons, and single trials line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tuibench.core.format import inert_json
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.present.sweep_lines import sweep_sentences
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.host_verdict import HostChoice, host_choices
from tuibench.core.results.recommendation import MAX_KLD
from tuibench.core.results.row import Row, Speedup
from tuibench.core.results.verdict import recommend
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.statistics.stats import Ratio


def as_json_line(record: TrialRecord | QualityRecord) -> str:
    """Return one trial, or one method's quality, as a line of JSON, raw numbers as in the session file."""
    return inert_json(msgspec.json.encode(record).decode())


def run_json_line(comparison: Comparison, run: int) -> str:
    """Return what a run's records do not tell one by one: its facts, the machine's roof and each method's place."""
    told = {
        **_run(comparison, run),
        "rooflines": {row.method: row.roofline for row in comparison.of_run(run) if row.roofline},
    }
    return inert_json(msgspec.json.encode(_rounded(msgspec.to_builtins(told))).decode())


def as_json_lines(comparison: Comparison) -> str:
    """Return every record of every run as a line of JSON, each run's followed by its `run_json_line`."""
    lines: list[str] = []
    for number, run in enumerate(comparison.runs):
        lines += [as_json_line(record) for records in (run.trials, run.quality) for record in records]
        lines.append(run_json_line(comparison, number))
    return "".join(f"{line}\n" for line in lines)


def as_json(comparison: Comparison, status: Mapping[str, str] | None = None) -> str:
    """Return a comparison row by row, with every interval, and what it recommends.

    Args:
        comparison: Of one or several runs.
        status: Where each method of a single run stands.
    """
    runs = [
        {
            **_run(comparison, number),
            "drift": comparison.drifts[number],
        }
        for number in range(len(comparison.runs))
    ]
    rows = [_row(comparison, row, (status or {}).get(comparison.name(row))) for row in comparison.rows]
    # "baseline" is the yardstick's name in exports, as in csv_text.py.
    whole: dict[str, object] = {"baseline": comparison.yardstick, "runs": runs, "methods": rows}
    if sentences := sweep_sentences(comparison):
        whole["sweep"] = sentences
    if hosts := host_choices(comparison):
        whole["hosts"] = [_host(choice) for choice in hosts]
    return inert_json(msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(whole))), indent=2).decode())


def _host(choice: HostChoice) -> dict[str, object]:
    return {
        "host": choice.host,
        "method": choice.method,
        "decode_tps": choice.decode_tps,
        "price_per_hour": choice.price_per_hour,
        "price_per_million_tokens": choice.price_per_million_tokens,
        "judged": choice.judged,
        **({"shape": choice.shape} if choice.shape is not None else {}),
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the same with numbers to 12 digits: what lies behind them differs from one C library to the next."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _run(comparison: Comparison, number: int) -> dict[str, object]:
    run, found = comparison.runs[number], recommend(comparison, number)
    return {
        "label": run.label,
        "facts": run.facts,
        **({"shape": run.shape} if run.shape is not None else {}),
        "read_bytes_per_s": run.machine.read_bytes_per_s if run.machine else None,
        "observer_share": comparison.observer_share(number),
        "max_kld": MAX_KLD,
        "recommendation": {**msgspec.to_builtins(found), "sentence": found.sentence},
    }


def _row(comparison: Comparison, row: Row, status: str | None) -> dict[str, object]:
    failure = row.failure
    return {
        "run": comparison.runs[row.run].label,
        "method": row.method,
        **({"status": status} if status else {}),
        "n_trials": row.n_trials,
        "metrics": row.metrics,
        "roofline": row.roofline,
        "observer_share": comparison.observer_share(row.run, row.method),
        "itl_ns": {f"p{share * 100:g}": value for share, value in row.itl_ns.items()},
        "step": _against(row.step),
        "total": _against(row.total),
        "against_baseline": _against(row.against_yardstick),
        "against_first_run": _ratio(row.vs_first_session),
        "quality": row.quality,
        "agreement": row.agreement,
        "not_same_model": row.not_same_model,
        "lamp": row.lamp,
        "flags": row.flags,
        "best_for_its_quality": row.best_for_its_quality,
        "verdict": method_sentence(comparison, row),
        "failure": failure and {"kind": failure.failure_kind, "message": failure.failure_message},
    }


def _against(against: Speedup | None) -> dict[str, object] | None:
    return {"method": against.method, **(_ratio(against.ratio) or {})} if against else None


def _ratio(ratio: Ratio | None) -> dict[str, object] | None:
    if ratio is None:
        return None
    return {
        "ratio": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "n": ratio.n,
        "paired": ratio.paired,
        "outcome": ratio.outcome,
    }
