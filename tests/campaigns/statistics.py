"""How often the statistics are wrong, and what they find: many methods, few rounds, drift, the regression gate.

    python -m tests.campaigns.statistics          # some minutes on two cores; writes statistics.md beside it

Everything is seeded: the same numbers come out again. The widths of single intervals have a campaign of their own
(`aa_series`).
"""

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from statistics import median

from tests.campaigns.aa_series import correlated, drifting, interrupted, lognormal, trial
from tuibench.core.results.comparison import Comparison, compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.method_trials import MethodTrials, ratio_between_runs
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.multiplicity import holm, stands
from tuibench.core.results.regression import RUN_NOISE, Standing, judge
from tuibench.core.run.plan import Turn, trial_order
from tuibench.core.statistics.stats import Estimate, Outcome, ratio_by_round

REPORT = Path(__file__).with_suffix(".md")
DIFFERENT = {Outcome.GREATER, Outcome.LESS}


# Equal methods, and one that is faster -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Runs of `n_methods` equal methods, of which the last may be `gain` faster."""

    machine: Callable
    n_methods: int
    n_rounds: int
    gain: float = 0.0


@dataclass(frozen=True)
class FamilyRates:
    """Shares of comparisons, or of runs, in which something was called different."""

    single: float
    """Comparisons with the first method whose own interval excludes no difference."""
    any_single: float
    """Runs with at least one such."""
    any_claimed: float
    """Runs in which the verdict claims at least one difference."""
    fastest_alone: float
    """Runs in which the fastest method is told apart from each of the others."""
    planted_single: float
    """Runs in which the interval of the last method excludes no difference."""
    planted_claimed: float
    """Runs in which the verdict claims it."""


def names(n_methods):
    return tuple(f"method-{number}" for number in range(n_methods))


def family_rates(family, n_runs, seed=0):
    source = random.Random(f"{seed} {family.machine.__name__} {family.n_methods} {family.n_rounds} {family.gain}")
    methods = names(family.n_methods)
    found = Counter()
    for _ in range(n_runs):
        speeds = measured_speeds(family, source)
        ratios = {name: ratio_by_round(speeds[name], speeds[methods[0]]) for name in methods[1:]}
        different = {name for name, ratio in ratios.items() if ratio.outcome in DIFFERENT}
        adjusted = holm({name: ratio.p_value for name, ratio in ratios.items()})
        claimed = {name for name, p_value in adjusted.items() if stands(p_value)}
        found["single"] += len(different) / (family.n_methods - 1)
        found["any_single"] += bool(different)
        found["any_claimed"] += bool(claimed)
        found["fastest_alone"] += fastest_alone(speeds)
        found["planted_single"] += methods[-1] in different
        found["planted_claimed"] += methods[-1] in claimed
    return FamilyRates(**{name: found[name] / n_runs for name in FamilyRates.__dataclass_fields__})


def measured_speeds(family, source):
    """Return the speeds of each method, round by round, in the order in which a run takes its turns."""
    methods = names(family.n_methods)
    turns = trial_order(methods, family.n_rounds)
    speeds = {name: [0.0] * family.n_rounds for name in methods}
    for turn, speed in zip(turns, family.machine(source, len(turns)), strict=True):
        speeds[turn.method][turn.index] = 20 * speed * (1 + family.gain if turn.method == methods[-1] else 1)
    return speeds


def fastest_alone(speeds):
    best, *others = sorted(speeds, key=lambda name: -median(speeds[name]))
    return all(ratio_by_round(speeds[best], speeds[name]).outcome is Outcome.GREATER for name in others)


# Drift ---------------------------------------------------------------------------------------------------------------


def linear(share):
    return -0.03 * share


def warming(share):
    """Slower by 10 % in the end, most of it in the first two rounds."""
    return -0.1 * (1 - math.exp(-share))


def bias(drift, n_methods, n_rounds, *, order=trial_order, durations=None, by_medians=False):
    """Return the largest gain over the first that an equal method shows where nothing but drift is.

    Args:
        drift: Logarithm of the speed after a time in rounds.
        n_methods: In a run.
        n_rounds: Of it.
        order: Of the turns.
        durations: How long the turns of each method take; by default all alike.
        by_medians: Compare medians of the trials, as versions before did, instead of what is shown.
    """
    methods = names(n_methods)
    durations = dict(zip(methods, durations or [1] * n_methods, strict=True))
    round_takes, now, trials = sum(durations.values()), 0.0, []
    for turn in order(methods, n_rounds):
        tps = 20 * math.exp(drift((now + durations[turn.method] / 2) / round_takes))
        trials.append(trial(turn.method, turn.index, tps / 1000))
        now += durations[turn.method]
    comparison = compare([MeasuredRun("drift", methods, tuple(trials))], parents=dict.fromkeys(methods))
    if by_medians:
        first = comparison.rows[0].median(DECODE)
        gains = [row.median(DECODE) / first for row in comparison.rows]
    else:
        gains = [1.0, *(row.against_yardstick.ratio.value for row in comparison.rows[1:])]
    return max(gains) / min(gains) - 1


def forward_backward(methods, n_rounds):
    """The order of versions before: forward in one round, backward in the next."""
    return [Turn(name, index) for index in range(n_rounds) for name in methods[:: -1 if index % 2 else 1]]


# The regression gate -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """Two builds, each measured in some sessions; the new one lost `loss` of its speed in one method."""

    n_sessions: int
    run_noise: float
    loss: float
    n_methods: int = 1
    n_trials: int = 3
    trial_noise: float = 0.02


def gate_rates(build, n_builds, *, allowed=0.05, seed=0):
    """Return how often the gate calls the new build slower, not slower, and cannot tell.

    `before` is how often versions before called it slower, which knew only one session a side.
    """
    source = random.Random(f"{seed} {build}")
    found = Counter()
    for _ in range(n_builds):
        base = [measured_session(build, 0, source) for _ in range(build.n_sessions)]
        new = [measured_session(build, build.loss, source) for _ in range(build.n_sessions)]
        comparison = Comparison((), (), None, (), (*base, *new))
        gate = judge(comparison, range(len(base)), range(len(base), len(base) + len(new)), allowed=allowed)
        if gate.with_standing(Standing.SLOWER):
            found[Standing.SLOWER] += 1
        else:
            found[Standing.UNSURE if gate.with_standing(Standing.UNSURE) else Standing.NOT_SLOWER] += 1
        if build.n_sessions == 1:
            ratios = [ratio_between_runs(new[0][method], base[0][method]) for method in base[0]]
            found["before"] += any(each.value < 1 - allowed and each.outcome is Outcome.LESS for each in ratios)
    return {name: found[name] / n_builds for name in (*Standing, "before")}


def measured_session(build, loss, source):
    """Return what was measured of each method, as far as the gate looks at it."""
    session = {}
    for number, method in enumerate(names(build.n_methods)):
        tps = 20 * math.exp(source.gauss(0, build.run_noise)) * (1 - (0 if number else loss))
        speeds = tuple(tps * source.lognormvariate(0, build.trial_noise) for _ in range(build.n_trials))
        session[method] = MethodTrials((), {DECODE.id: Estimate(median(speeds), None, None, len(speeds))}, speeds)
    return session


# The report ----------------------------------------------------------------------------------------------------------


def percent(share):
    return f"{100 * share:.1f}"


def table(head, rows):
    lines = [head, ["--:"] * len(head), *rows]
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]


def family_tables(pool, n_runs):
    cells = [Family(lognormal, m, r) for m in (2, 4, 6, 13) for r in (3, 4, 5, 10)]
    cells += [
        Family(machine, m, r) for machine in (interrupted, drifting, correlated) for m in (6, 13) for r in (3, 5, 10)
    ]
    yield f"## Equal methods ({n_runs} runs a line; per cent)"
    yield ""
    yield "`one`: comparisons with the first method whose own 95 % interval excludes no difference. `any`: runs with at"
    yield "least one such. `claimed`: runs in which the verdict claims one. `fastest`: runs in which one method is told"
    yield "apart from all others. 5 is allowed."
    rates = pool.starmap(family_rates, [(cell, n_runs) for cell in cells], chunksize=1)
    yield from table(
        ["noise", "methods", "rounds", "one", "any", "claimed", "fastest"],
        [
            [
                c.machine.__name__,
                c.n_methods,
                c.n_rounds,
                *map(percent, (r.single, r.any_single, r.any_claimed, r.fastest_alone)),
            ]
            for c, r in zip(cells, rates, strict=True)
        ],
    )
    cells = [Family(lognormal, m, r, g) for m in (2, 6, 13) for r in (3, 5, 10) for g in (0.1, 0.2, 0.5)]
    yield f"## One method that is faster ({n_runs // 2} runs a line; log-normal noise of 3 % a trial; per cent)"
    yield ""
    yield "Runs in which it is found by its own interval, and by the verdict, which answers for all comparisons."
    rates = pool.starmap(family_rates, [(cell, n_runs // 2) for cell in cells], chunksize=1)
    yield from table(
        ["methods", "rounds", "faster by", "interval", "claimed"],
        [
            [c.n_methods, c.n_rounds, f"{c.gain:.0%}", percent(r.planted_single), percent(r.planted_claimed)]
            for c, r in zip(cells, rates, strict=True)
        ],
    )


def drift_tables():
    slow_first = [10, 3, 1, 1, 1, 1]
    yield "## Drift, no noise: largest gain of one of equal methods over another, per cent"
    yield ""
    yield "`before`: forward and backward rounds, ratio of medians. `linear`: 3 % slower a round. `uneven`: the same in"
    yield "time, one of the methods taking ten times and one three times as long as the others. `warming`: 10 % slower"
    yield "in the end, exponentially, with a time constant of one round."
    before = {"order": forward_backward, "by_medians": True}
    rows = []
    for n_rounds in (2, 3, 4, 5, 6, 7, 10, 11):
        figures = []
        for n_methods in (2, 5, 6, 13):
            figures += [bias(linear, n_methods, n_rounds, **before), bias(linear, n_methods, n_rounds)]
        figures += [bias(linear, 6, n_rounds, durations=slow_first, **options) for options in (before, {})]
        figures += [bias(warming, 6, n_rounds, **options) for options in (before, {})]
        rows.append([n_rounds, *(f"{100 * figure:.2f}" for figure in figures)])
    kinds = [*(f"linear, {n} methods" for n in (2, 5, 6, 13)), "uneven, 6", "warming, 6"]
    yield from table(["rounds", *(f"{kind}: {when}" for kind in kinds for when in ("before", "now"))], rows)


def gate_tables(pool, n_builds):
    cells = [
        Build(n, noise, loss, m)
        for m in (1, 6)
        for n in (1, 3, 5)
        for noise in (0.01, 0.02, 0.03)
        for loss in (0, 0.05, 0.1, 0.2)
    ]
    yield f"## The regression gate at 5 % ({n_builds} builds a line; three trials with 2 % noise a session; per cent)"
    yield ""
    yield "One of the methods lost so much speed. `regression` is exit code 3. `cannot tell` passes unless `--strict`."
    yield f"With one session a side, {RUN_NOISE:.0%} from run to run are assumed. `before`: what failed in versions"
    yield "before, which compared one session with one and knew no noise from run to run."
    rates = pool.starmap(gate_rates, [(cell, n_builds) for cell in cells], chunksize=1)
    yield from table(
        ["methods", "sessions a side", "noise", "lost", "regression", "not slower", "cannot tell", "before"],
        [gate_line(cell, found) for cell, found in zip(cells, rates, strict=True)],
    )


def gate_line(build, rates):
    outcomes = [percent(rates[standing]) for standing in (Standing.SLOWER, Standing.NOT_SLOWER, Standing.UNSURE)]
    before = percent(rates["before"]) if build.n_sessions == 1 else "–"
    return [build.n_methods, build.n_sessions, f"{build.run_noise:.0%}", f"{build.loss:.0%}", *outcomes, before]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600, help="simulated runs a line; a third of it builds")
    options = parser.parse_args()
    lines = [
        "# What the statistics promise, and what simulation finds",
        "",
        f"Written by `python -m tests.campaigns.statistics --runs {options.runs}`.",
        "",
    ]
    with Pool(2) as pool:
        for part in (drift_tables(), family_tables(pool, options.runs), gate_tables(pool, options.runs // 3)):
            for line in part:
                print(line, flush=True)
                lines.append(line)
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
