"""Shorter ways through PyTorch's module machinery; the arithmetic is left alone.

A 30-layer model makes about 400 module calls and 900 attribute look-ups through `Module.__getattr__` per token. In a
model too small for its weights to matter, decoding took 9.8 ms a token with them and 7.7 ms without.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def shorten_dispatch(model: nn.Module) -> None:
    """Make module calls go straight to `forward`, and attributes be found at the first look.

    For inference only: hooks that are registered later, and children or parameters that are replaced behind
    `setattr`'s back, would not be seen. Modules that have hooks now, or a `__call__` of their own, stay as they are.
    """
    direct: dict[type[nn.Module], type[nn.Module]] = {}
    for module in list(model.modules()):
        # Python looks into the instance first: what stands there never reaches `Module.__getattr__`.
        # Buffers stay where they are: some are replaced while the model runs, such as frequencies that grow.
        for found in (module._modules, module._parameters):  # noqa: SLF001 - no public dictionaries
            module.__dict__.update({name: value for name, value in found.items() if value is not None})
        if _is_plain(module):
            cls = type(module)
            module.__class__ = direct.setdefault(cls, _without_hooks(cls))


def _is_plain(module: nn.Module) -> bool:
    hooks: tuple[Any, ...] = (module._forward_hooks, module._forward_pre_hooks)  # noqa: SLF001 - no public way to ask
    return type(module).__call__ is nn.Module.__call__ and not any(hooks)


def _without_hooks(cls: type[nn.Module]) -> type[nn.Module]:
    """Return a subclass of the same name whose call is its forward pass."""
    return type(cls.__name__, (cls,), {"__call__": cls.forward, "__module__": cls.__module__})
