"""The short version of `tests/campaigns/aa_series.py`."""

import random

import msgspec
import pytest

from tests.campaigns.aa_series import (
    MACHINES,
    correlated,
    coverage_after_stopping,
    differs,
    drifting,
    false_positives,
    false_positives_between_runs,
    lognormal,
    simulated_run,
    stepping,
)
from tuibench.core.results.measured_run import MeasuredRun

N_COMPARISONS = 200


@pytest.mark.parametrize("n_trials", [3, 5, 10])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_a_method_does_not_differ_from_itself(machine, n_trials):
    # Where trials depend on each other, 5 % is just kept, so that chance needs room: two standard errors.
    allowed = 0.08 if machine is correlated else 0.05
    assert false_positives(machine, n_trials, N_COMPARISONS) <= allowed * N_COMPARISONS


@pytest.mark.parametrize("n_trials", [3, 5, 10])
def test_a_method_does_not_differ_from_itself_in_another_run(n_trials):
    assert false_positives_between_runs(lognormal, n_trials, N_COMPARISONS) <= 0.05 * N_COMPARISONS


@pytest.mark.parametrize(("machine", "least"), [(lognormal, 45), (drifting, 45), (stepping, 20)])
def test_a_method_a_fifth_faster_is_told_apart_in_five_rounds(machine, least):
    source = random.Random(1)
    assert sum(differs(sped_up(simulated_run(machine, 5, source))) for _ in range(50)) >= least


def sped_up(run):
    def faster(record):
        step_ns = tuple(round(ns / 1.2) for ns in record.step_ns)
        return msgspec.structs.replace(record, step_ns=step_ns) if record.method == "b" else record

    return MeasuredRun(run.label, run.methods, tuple(map(faster, run.trials)))


def test_intervals_hold_where_the_stop_rule_ends():
    held, _ = coverage_after_stopping(0.05, N_COMPARISONS)
    assert held >= 0.9
