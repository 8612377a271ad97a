import pytest

from tuibench.core.present.run_labels import split_labels


@pytest.mark.parametrize(
    ("labels", "shared", "rest"),
    [
        (["monday"], "", ["monday"]),
        (["monday", "tuesday"], "", ["monday", "tuesday"]),
        (["monday · prompt 8", "monday · prompt 16"], "monday", ["prompt 8", "prompt 16"]),
        (
            ["monday · big · prompt 8", "monday · big · prompt 16", "monday · small · prompt 8"],
            "monday",
            ["big · prompt 8", "big · prompt 16", "small · prompt 8"],
        ),
        (
            ["monday · big · prompt 8", "tuesday · big · prompt 8"],
            "",
            ["monday · big · prompt 8", "tuesday · big · prompt 8"],
        ),
        (["monday · big", "monday"], "", ["monday · big", "monday"]),
    ],
)
def test_what_all_labels_begin_with_is_told_once(labels, shared, rest):
    assert split_labels(labels) == (shared, rest)
