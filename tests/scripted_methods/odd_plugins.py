"""Classes that somebody took for methods: each has one fault."""

from scripted_engine import Sound

from tuibench.core.run.spec import Method


def _method(name, **changes):
    fields = {"id": name, "title": name, "explanation": "Odd.", "parent": None, "precision": "fp32", "exact": False}
    return Method(**(fields | changes))


NOT_A_CLASS = Sound()


class WithoutMethod:
    pass


class DictMethod(Sound):
    method = {"id": "dict-method"}  # noqa: RUF012 - the fault


class OddField(Sound):
    method = _method("odd-field", requires=None)


class OddRequires(Sound):
    method = _method("odd-requires", requires=("no module",))


class OtherId(Sound):
    method = _method("sound")


class CircleA(Sound):
    method = _method("circle-a", parent="circle-b")


class CircleB(Sound):
    method = _method("circle-b", parent="circle-a")


class OwnParent(Sound):
    method = _method("own-parent", parent="own-parent")


class AboveCircle(Sound):
    method = _method("above-circle", parent="circle-a", explanation="Two\nlines \x1b[2J.")
