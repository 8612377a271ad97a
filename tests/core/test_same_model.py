from datetime import UTC, datetime

import pytest

from tuibench.core.results.same_model import TextAgreement, same_model, text_agreement, wrong_length
from tuibench.core.run.events import FailureKind, FinishReason
from tuibench.core.run.record import QualityRecord, TrialRecord

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def trial(*tokens, **changes):
    return TrialRecord(method="m", index=0, token_ids=tokens, finished=NOW, **changes)


def quality(kld=0.0, top1=1.0, **changes):
    return QualityRecord(method="m", eval_name="t", eval_sha256="0", kld_mean=kld, top1=top1, finished=NOW, **changes)


FAILED = quality(None, None, failure_kind=FailureKind.CRASHED)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((1, 2, 3), (1, 2, 3), TextAgreement(3, 3, same_length=True)),
        ((1, 9, 3), (1, 2, 3), TextAgreement(1, 3, same_length=True)),
        ((1, 2), (1, 2, 3), TextAgreement(2, 2, same_length=False)),
        ((), (), TextAgreement(0, 0, same_length=True)),
    ],
)
def test_agreement_counts_equal_tokens(ours, theirs, expected):
    assert text_agreement(trial(*ours), trial(*theirs)) == expected


def test_predictions_within_the_tolerance_excuse_a_tie_that_flipped():
    assert same_model([trial(1, 9)], [trial(1, 2)], quality(3e-7, 0.999)).same is True


@pytest.mark.parametrize("found", [quality(2e-4, 1.0), quality(1e-6, 0.99)], ids=["divergence", "top-1"])
def test_predictions_beyond_the_tolerance_fail_with_numbers(found):
    result = same_model([trial(1, 9, 3)], [trial(1, 2, 3)], found)
    assert result.same is False
    assert result.reason.startswith("mean KLD")
    assert "first other token at 1 of 3" in result.reason


def test_an_identical_text_does_not_excuse_other_predictions():
    result = same_model([trial(1, 2)], [trial(1, 2)], quality(4e-3, 0.96))
    assert result.same is False
    assert "first other token" not in result.reason


@pytest.mark.parametrize("unknown", [None, FAILED], ids=["not measured", "failed"])
def test_without_figures_only_an_identical_text_shows_the_same_model(unknown):
    assert same_model([trial(1, 2)], [trial(1, 2)], unknown).same is True
    doubtful = same_model([trial(1, 9)], [trial(1, 2)], unknown)
    assert doubtful.same is None
    assert "first other token at 1 of 2" in doubtful.reason
    assert "different length" in same_model([trial(1)], [trial(1, 2)], unknown).reason


def test_nothing_measured_is_not_known():
    assert same_model([], [trial(1)], None).same is None


def test_a_forced_length_is_met_unless_the_window_ends_first():
    assert wrong_length(trial(1, 2), 2) is None
    assert wrong_length(trial(1), 2) == "1 token was generated where 2 were asked for"
    assert wrong_length(trial(1, finish_reason=FinishReason.WINDOW), 2) is None
    assert wrong_length(trial(failure_kind=FailureKind.CRASHED), 2) is None
