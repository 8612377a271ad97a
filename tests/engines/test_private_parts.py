"""What is used of transformers, PyTorch and Numba without being promised by them: an upgrade fails here and says where.

Each test names the module that relies on what it looks at.
"""

import inspect
import logging
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from tuibench.machine.thread_pools import worker_environment


@pytest.fixture(scope="module")
def model(tiny_llama):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_llama.directory, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPT2LMHeadModel", "MambaForCausalLM", "JambaForCausalLM"])
def test_a_cache_is_handed_over_as_cache(name):
    """`torch_cached`: any other name is swallowed by `**kwargs` in some models."""
    import transformers

    assert "cache" in inspect.signature(getattr(transformers, name).forward).parameters


def test_the_argument_is_no_longer_called_as_before_without_a_warning(model, caplog):
    """`torch_cached`: the alias is going away; nothing here may use it."""
    from tuibench.engines.torch.cached import CacheCall, CachedText

    with caplog.at_level(logging.WARNING), torch.inference_mode():
        CachedText(model, CacheCall(), None, 4).append([3, 4])
    assert "deprecated" not in caplog.text


def test_models_say_whether_they_take_the_general_cache():
    """`torch_cached.possible_calls`: `_supports_default_dynamic_cache`."""
    from transformers import LlamaForCausalLM, MiniMaxForCausalLM

    assert LlamaForCausalLM._supports_default_dynamic_cache()
    assert not MiniMaxForCausalLM._supports_default_dynamic_cache()


def test_a_cache_is_a_list_of_layers_that_are_told_of_new_keys(model):
    """`torch_preallocated.PreallocatedLayer`: `layers`, `lazy_initialization`, `update`, `keys`, `values`, `crop`."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    assert [type(layer) for layer in cache.layers] == [DynamicLayer] * model.config.num_hidden_layers
    with torch.inference_mode():
        output = model(torch.tensor([[3, 4, 5]]), cache=cache, use_cache=True)
    assert output.cache is cache
    assert cache.layers[0].keys.shape == cache.layers[0].values.shape == (1, 2, 3, 16)
    cache.crop(-1)
    assert cache.get_seq_length() == 2


def test_layers_with_windows_and_states_tell_them():
    """`torch_cache.held_bytes`: `is_sliding`, `sliding_window`, `conv_states`, `recurrent_states`, `indexer_keys`."""
    from transformers.cache_utils import (
        DummyLayer,
        DynamicIndexedLayer,
        DynamicSlidingWindowLayer,
        LinearAttentionLayer,
    )

    window = DynamicSlidingWindowLayer(6)
    assert (window.is_sliding, window.sliding_window) == (True, 6)
    assert isinstance(LinearAttentionLayer().conv_states, dict)
    assert isinstance(LinearAttentionLayer().recurrent_states, dict)
    assert hasattr(DynamicIndexedLayer(), "indexer_keys")
    assert not hasattr(DummyLayer(), "conv_states")


def test_recurrent_gemma_keeps_states_in_its_layers():
    """`torch_cached`: `conv1d_state`, `recurrent_states`; made anew where they are None."""
    from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

    config = RecurrentGemmaConfig(
        vocab_size=32, hidden_size=16, lru_width=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2
    )
    model = RecurrentGemmaForCausalLM(config).eval()
    with torch.inference_mode():
        model(torch.tensor([[3, 4]]), use_cache=True)
    kept = {name for module in model.modules() for name in vars(module) if name.endswith(("_state", "_states"))}
    assert {"conv1d_state", "recurrent_states"} <= kept


def test_a_loading_report_lists_what_does_not_fit(tiny_llama):
    """`torch_checkpoint`: `output_loading_info` and its four entries."""
    from transformers import AutoModelForCausalLM

    _, report = AutoModelForCausalLM.from_pretrained(tiny_llama.directory, output_loading_info=True)
    assert {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"} <= set(report)


def test_weights_are_loaded_one_after_the_other_where_the_environment_says_so(tiny_llama, monkeypatch):
    """`machine.thread_pools`: `HF_DEACTIVATE_ASYNC_LOAD`."""
    from transformers import AutoModelForCausalLM, core_model_loading

    pools = []
    monkeypatch.setattr(core_model_loading, "ThreadPoolExecutor", lambda **_: pools.append(1))
    for name, value in worker_environment(1).items():
        monkeypatch.setenv(name, value)
    AutoModelForCausalLM.from_pretrained(tiny_llama.directory)
    assert not pools
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "0")
    AutoModelForCausalLM.from_pretrained(tiny_llama.directory)
    assert pools


@pytest.mark.parametrize(
    ("kind", "extra"), [("dynamic", {}), ("longrope", {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8})]
)
def test_rotary_embeddings_tell_their_kind_and_original_length(kind, extra):
    """`torch_rotation`: `rope_type`, `original_max_seq_len`, `rope_parameters`; frequencies replaced as a buffer."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    rope = {"rope_type": kind, "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 16, **extra}
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=16, rope_parameters=rope)
    rotary = LlamaRotaryEmbedding(config)
    assert rotary.rope_type == kind
    assert rotary.original_max_seq_len == 16
    assert config.rope_parameters["original_max_position_embeddings"] == 16
    before = rotary.inv_freq.clone()
    rotary(torch.zeros(1), torch.arange(32)[None])
    assert not torch.equal(rotary._buffers["inv_freq"], before)


def test_experts_are_stacked_and_told_who_goes_where():
    """`torch_counts`: weights of three dimensions in a module that is given the chosen experts as whole numbers."""
    from transformers import MixtralConfig, MixtralForCausalLM

    from tuibench.engines.torch.counts import expert_weights, watching_experts

    config = MixtralConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=8, num_experts_per_tok=3,
    )  # fmt: skip
    model = MixtralForCausalLM(config).eval()
    with watching_experts(model) as chosen, torch.inference_mode():
        model(torch.tensor([[3, 4]]))
    total = 2 * 8 * 3 * 16 * 24
    assert expert_weights(model, chosen) == (total, total * 3 // 8)


def test_modules_keep_their_parts_in_three_dictionaries_and_their_hooks_in_two():
    """`torch_dispatch`."""
    layer = torch.nn.Linear(2, 2)
    assert layer._parameters.keys() == {"weight", "bias"}
    assert torch.nn.Sequential(layer)._modules == {"0": layer}
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_the_attention_in_use_has_a_name(model):
    """`torch_counts.describe`: `_attn_implementation`."""
    assert model.config._attn_implementation == "sdpa"


def test_dynamic_quantisation_takes_one_scale_a_row():
    """`int8_torch`: `torch.ao.quantization`, deprecated, pinned with PyTorch."""
    layer = torch.nn.Sequential(torch.nn.Linear(8, 4))
    per_row = torch.ao.quantization.per_channel_dynamic_qconfig
    with pytest.warns(DeprecationWarning, match="torch.ao.quantization is deprecated"):
        torch.ao.quantization.quantize_dynamic(layer, {torch.nn.Linear: per_row}, inplace=True)
    assert layer[0].weight().qscheme() == torch.per_channel_affine


def test_attention_and_masks_are_registered_by_name():
    """`ort.plain_cache`: `AttentionInterface`, `AttentionMaskInterface`, `eager_mask`, `CacheLayerMixin`."""
    from transformers.cache_utils import Cache, CacheLayerMixin
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from tuibench.engines.ort.export import cache as plain_cache

    assert plain_cache.ATTENTION in ALL_ATTENTION_FUNCTIONS
    assert plain_cache.ATTENTION in ALL_MASK_ATTENTION_FUNCTIONS
    assert {"update", "get_mask_sizes", "get_seq_length"} <= vars(CacheLayerMixin).keys()
    assert "layers" in inspect.signature(Cache).parameters


def test_numba_builds_what_intrinsics_need():
    """`fused.vector_ir`, `.tile_ir`, `.team`: `numba.core.cgutils`."""
    from numba.core import cgutils

    assert all(
        hasattr(cgutils, name) for name in ("alloca_once_value", "for_range", "get_or_insert_function", "unpack_tuple")
    )


def test_numba_keeps_compiled_code_where_it_is_told():
    """`fused.compiler`: the option `_nrt`, `config.CACHE_DIR`."""
    import numba

    assert numba.njit(_nrt=False)(lambda x: 2 * x)(np.float32(2)) == 4
    assert hasattr(numba.config, "CACHE_DIR")


def test_numba_passes_arrays_as_the_record_that_is_made_without_it():
    """`fused.layout`: the members of an array in memory, and their order."""
    import numba
    from numba.core.datamodel import default_manager

    from tuibench.engines.fused.layout import record_of

    array = np.zeros((2, 3), np.float32)
    model = default_manager.lookup(numba.typeof(array))
    assert list(model._fields) == [name for name, _ in record_of(array)._fields_]


def test_a_library_gives_its_object_code():
    """`fused.emitting`: `enable_object_caching`, `_get_compiled_object`, `call_function`, `declare_function`."""
    from numba.core.codegen import JITCodeLibrary
    from numba.core.registry import cpu_target

    for name in ("enable_object_caching", "add_ir_module", "add_linking_library", "_get_compiled_object"):
        assert callable(getattr(JITCodeLibrary, name))
    assert callable(cpu_target.target_context.declare_function)
    assert callable(cpu_target.target_context.call_conv.call_function)


def test_numba_lets_a_pass_make_the_library():
    """`fused.lowering`: `no_compile` and a given library are heeded by `NativeLowering`; what a library does when."""
    from numba.core.codegen import JITCodeLibrary
    from numba.core.typed_passes import BaseNativeLowering

    source = inspect.getsource(BaseNativeLowering.run_pass)
    assert "if state.library is None" in source
    assert "if flags.no_compile" in source
    for name in ("add_llvm_module", "_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals"):
        assert callable(getattr(JITCodeLibrary, name))


def test_kernels_are_optimised_only_within_entries():
    """`fused.lowering`: Numba's own way optimises every function with all that it calls, again at every level."""
    from tuibench.engines.fused import compiler
    from tuibench.engines.fused.lowering import _Intermediate

    @compiler.kernel
    def total(x):
        result = np.float32(0)
        for i in range(x.size):
            result += x[i]
        return result

    @compiler.entry
    def mean(x):
        return total(x) / x.size

    assert mean(np.arange(5, dtype=np.float32)) == 2
    (inner,) = total.overloads.values()
    assert isinstance(inner.library, _Intermediate)
    (outer,) = mean.overloads.values()
    assert "call float @" in outer.library.get_llvm_str() or "call i32 @" in outer.library.get_llvm_str()
    with pytest.raises(TypeError, match="must be str"):
        total(np.zeros(1, np.float32))


LEAN = """
import gc
import sys
from tuibench.models.lean_transformers import import_lean
import_lean()
before = gc.get_stats()[2]["collections"]
import torch
import transformers.modeling_utils
print(gc.isenabled(), gc.get_stats()[2]["collections"] - before < 5)  # otherwise about a dozen
print({"torch.distributed.tensor", "scipy.optimize", "sympy", "torch._inductor"} & set(sys.modules))
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
with torch.inference_mode():
    torch.save(model(torch.arange(3, 40)[None]).logits, sys.argv[2])
import torch._dynamo.utils
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item(), torch._dynamo.config.__name__)
"""


def test_what_a_worker_leaves_out_of_transformers_changes_no_logit(model, tiny_llama, tmp_path):
    """`lean_transformers`: `is_torch_distributed_available`, `is_scipy_available`, `torch._dynamo`."""
    program = [sys.executable, "-c", LEAN, str(tiny_llama.directory), str(tmp_path / "logits")]
    told = subprocess.check_output(program, text=True, stderr=subprocess.DEVNULL).splitlines()
    assert told == ["True True", "set()", "2.0 torch._dynamo.config"]
    with torch.inference_mode():
        expected = model(torch.arange(3, 40)[None]).logits
    assert torch.equal(torch.load(tmp_path / "logits"), expected)


def test_a_module_that_transformers_does_not_initialise_takes_no_memory_for_its_weights_and_has_its_buffers(tmp_path):
    """`transformers.initialization.no_init_weights`: what is exported is traced so."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    from tuibench.engines.ort.export.unloaded import _untouched

    sizes = {"vocab_size": 32_000, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4}
    LlamaConfig(**sizes, num_attention_heads=8).save_pretrained(tmp_path)
    small = LlamaConfig(**(sizes | {"num_hidden_layers": 1, "vocab_size": 10}), num_attention_heads=8)
    expected = AutoModelForCausalLM.from_config(small).model.rotary_emb.inv_freq
    before_bytes = psutil.Process().memory_info().rss
    module = _untouched(tmp_path, None, {"dtype": torch.float32})
    grown_bytes = psutil.Process().memory_info().rss - before_bytes
    assert grown_bytes < 4 * module.num_parameters() / 10
    assert torch.equal(module.model.rotary_emb.inv_freq, expected)
