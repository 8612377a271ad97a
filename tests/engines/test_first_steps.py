import numpy as np
import pytest

from tuibench.engines.first_steps import are_logits

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, -2.0, 0.0], True),
        ([1.0, -INF, 0.0], True),
        ([[1.0, 2.0], [-INF, 0.0]], True),
        ([1.0, INF, 0.0], False),
        ([1.0, NAN, 0.0], False),
        ([[1.0, 2.0], [NAN, -INF]], False),
        ([-INF, -INF], False),
        ([[1.0, 2.0], [-INF, -INF]], False),
    ],
)
def test_tokens_may_be_ruled_out_but_not_all_of_them(values, expected):
    assert are_logits(np.array(values, np.float32)) is expected
