"""How kernels become code: as a part of the entries that call them, and nowhere else.

Left to itself, Numba optimises every function together with all that it calls, and makes machine code of the result and
of two wrappers for callers outside. With kernels nested seven deep, whose arguments are hundreds of numbers, the same
loops went through LLVM at every level: of 84 s for one precision, 39 were spent on code that nobody ran.
"""

from __future__ import annotations

from typing import Any

from numba.core.analysis import compute_cfg_from_blocks
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Intermediate(JITCodeLibrary):  # type: ignore[misc]  # Numba carries no types, here and below
    """LLVM's notation of a kernel and of what it calls, as it was written; whoever links it optimises it."""

    stays_apart = False
    """Called, not copied to wherever it is used."""

    def add_llvm_module(self, ll_module: Any) -> None:
        for function in ll_module.functions:
            if self.stays_apart and not function.is_declaration:
                function.add_function_attribute("noinline")
        self._final_module.link_in(ll_module)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):  # type: ignore[misc]
    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        flags = state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        state.library = _Intermediate(state.targetctx.codegen(), state.func_id.func_qualname)
        # Next to what a loop does, a call costs nothing; a copy of the loop costs as much to compile as the first.
        state.library.stays_apart = bool(compute_cfg_from_blocks(state.func_ir.blocks).loops())
        super().run_pass(state)
        # What Python would call has to be a built-in function, and one of its own: calls are found by it. This one
        # refuses arrays.
        refusal = f"{state.func_id.func_name} is called by compiled code".index
        state["cr"] = state["cr"]._replace(cfunc=refusal)
        state.targetctx.insert_user_function(refusal, state["cr"].fndesc, [state.library])
        return True


class KernelPipeline(CompilerBase):  # type: ignore[misc]
    """Numba's own passes, but for the last."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (_KernelLowering, "lower a kernel") if each is NativeLowering else (each, text)
            for each, text in passes.passes
        ]
        passes.finalize()
        return [passes]
