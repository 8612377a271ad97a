"""What `import transformers` brings for machines that a worker never uses, left out of its start.

Training on many machines (`torch.distributed`, with sympy) and detecting objects (scipy.optimize) are asked for at the
head of transformers' modules; PyTorch's compiler (`torch._dynamo`) is imported for decorators that only it looks at.
Together they are half of what the import takes. Who needs the compiler still gets it (`_Compiler`).

Of the rest a quarter went into the garbage collector, which looked through all that had been imported a dozen times
(`_Uncollected`).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from tuibench.models.import_structure import keep_structure

_ANSWERS = "transformers.utils.import_utils"
_NOT_USED = ("is_torch_distributed_available", "is_scipy_available")
"""What they would have transformers import is used by no forward pass in one process."""
_LARGE = frozenset({"torch", "transformers"})
_COMPILER = "torch._dynamo"
_STANDS_ALONE = f"{_COMPILER}._trace_wrapped_higher_order_op"
"""Asked by transformers for a class; it needs nothing of its package."""


def import_lean() -> None:
    """Have a later `import transformers` of this process leave out what only other machines need."""
    if _ANSWERS in sys.modules or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds modules as Python does; changes two of transformers' answers, and puts off PyTorch's compiler."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _ANSWERS:
            return _loaded_by(_Answers, PathFinder.find_spec(fullname, path, target))
        if fullname == _COMPILER and _ANSWERS in sys.modules:
            return _loaded_by(_PutOff, PathFinder.find_spec(fullname, path, target))
        if fullname.startswith(f"{_COMPILER}.") and fullname != _STANDS_ALONE and _import_compiler():
            there = sys.modules.get(fullname)
            return None if there is None else ModuleSpec(fullname, _There(there))
        if gc.isenabled() and fullname.partition(".")[0] in _LARGE:
            return _loaded_by(_Uncollected, PathFinder.find_spec(fullname, path, target))
        return None


def _loaded_by(loader: Callable[[Loader], Loader], spec: ModuleSpec | None) -> ModuleSpec | None:
    if spec is not None and spec.loader is not None:
        spec.loader = loader(spec.loader)
    return spec


class _Uncollected(Loader):
    """Keeps the garbage collector away while a module, and all that it imports, is made: modules stay."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        gc.disable()
        try:
            self._loader.exec_module(module)
        finally:
            gc.enable()


class _Answers(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        keep_structure(module)
        for name in _NOT_USED:
            if hasattr(module, name):
                setattr(module, name, _no)


def _no() -> bool:
    return False


class _PutOff(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Compiler(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: that is what is put off."""


class _There(Loader):
    """Gives the module that the compiler has imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """It was executed already."""


class _Compiler(ModuleType):
    """`torch._dynamo` as far as decorators go; it is imported as soon as anything else of it is asked for."""

    @staticmethod
    def allow_in_graph(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    @staticmethod
    def assume_constant_result(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *_: object, **__: object) -> Callable[..., Any]:
        return _Compiler.allow_in_graph if function is None else function

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the compiler has
        if name.startswith("__"):
            raise AttributeError(name)
        _import_compiler()
        return getattr(sys.modules[_COMPILER], name)


def _import_compiler() -> bool:
    """Import the compiler where it was put off; return whether it was."""
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)
    if finder is None or not isinstance(sys.modules.get(_COMPILER), _Compiler):
        return False
    sys.meta_path.remove(finder)
    del sys.modules[_COMPILER]
    sys.modules["torch"].__dict__["_dynamo"] = import_module(_COMPILER)
    return True
