"""How long the statistics of a large run take, and how long a long session takes to load.

python -m tests.bench.statistics_cost
"""

import random
import tempfile
import time
from pathlib import Path

import msgspec

from tests.measured_runs import quality
from tests.scripted import FINISHED, header, record
from tuibench.core.present.verdict_lines import recommendation_lines, verdict_lines
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import TrialRecord
from tuibench.store.replay import stored_state
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter

METHODS = tuple(f"method-{number}" for number in range(10))


def large_run(n_trials):
    """Return a run of ten methods with `n_trials` trials each and one gap per trial."""
    source = random.Random(0)
    trials = [
        TrialRecord(
            method=turn.method,
            index=turn.index,
            n_prompt=10,
            prefill_ns=10**8,
            ttft_ns=round(1e8 * source.lognormvariate(0, 0.03)),
            step_ns=(round(2e7 * source.lognormvariate(0, 0.03)),),
            token_ids=(1, 2),
            peak_rss_bytes=10**9 + source.randrange(10**6),
            finished=FINISHED,
        )
        for turn in trial_order(METHODS, n_trials)
    ]
    return MeasuredRun("large", METHODS, tuple(trials), tuple(quality(method, kld=0.001) for method in METHODS))


def long_session(path, n_tokens):
    """Write a session of `n_tokens` tokens in trials of 1,000."""
    source = random.Random(0)
    writer = SessionWriter(path, msgspec.structs.replace(header()))
    for index in range(n_tokens // 1000):
        writer.append(
            record(
                index=index,
                step_ns=tuple(round(2e7 * source.lognormvariate(0, 0.1)) for _ in range(999)),
                token_ids=tuple(source.randrange(50_000) for _ in range(1000)),
                piece_chars=(4,) * 1000,
                text="word" * 1000,
            )
        )


def timed(what, call, n=5):
    """Print the fastest of some calls and return its result."""
    times = []
    for _ in range(n):
        started = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - started)
    print(f"{what}: {min(times):.3f} s (fastest of {n}; slowest {max(times):.3f} s)")
    return result


def main():
    parents = dict(zip(METHODS[1:], METHODS, strict=False))
    for n_trials in (1_000, 10_000):
        run = large_run(n_trials)
        found = timed(f"{n_trials:6} trials of each of 10 methods", lambda run=run: compare([run], parents=parents))
    timed("verdict of the last", lambda: (verdict_lines(found), recommendation_lines(found)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.toml"
        long_session(path, 100_000)
        session = timed(f"loading 100,000 tokens ({path.stat().st_size / 1e6:.1f} MB)", lambda: load(path))
        timed("folding them to a state", lambda: stored_state(session))


if __name__ == "__main__":
    main()
