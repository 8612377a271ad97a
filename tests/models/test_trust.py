"""Weights are data: nothing that could run code is opened, and nothing of a model's folder is imported."""

import ast
from pathlib import Path

import tuibench

SOURCES = sorted(Path(tuibench.__file__).parent.rglob("*.py"))
# What unpickles, or imports code that comes with a model.
_UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_code_of_a_model_is_trusted_and_nothing_is_unpickled():
    assert len(SOURCES) > 100
    for path in SOURCES:
        check(path, ast.parse(path.read_bytes()))


def check(path, tree):
    for call in calls(tree):
        where = f"{path}: line {call.lineno}"
        for keyword in call.keywords:
            if keyword.arg in ("trust_remote_code", "allow_pickle", "weights_only"):
                assert isinstance(keyword.value, ast.Constant), where
                assert keyword.value.value is (keyword.arg == "weights_only"), where
        if isinstance(call.func, ast.Attribute) and call.func.attr == "load":
            assert not (isinstance(call.func.value, ast.Name) and call.func.value.id == "torch"), where
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not _UNPICKLING & {name.split(".")[0] for name in names}, f"{path}: line {node.lineno}"


def test_every_from_pretrained_and_from_config_says_that_it_trusts_no_code():
    found = 0
    for path in SOURCES:
        for call in calls(ast.parse(path.read_bytes())):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("from_pretrained", "from_config"):
                found += 1
                trusted = [keyword.value for keyword in call.keywords if keyword.arg == "trust_remote_code"]
                assert [value.value for value in trusted] == [False], f"{path}: line {call.lineno}"
    assert found >= 5
