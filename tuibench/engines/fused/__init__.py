"""Our own decoder: a whole token in one compiled call, written in Python and compiled by Numba.

Read it in this order:

```
matrices        how a weight matrix is stored in FP32, INT8 and INT4
packing         how it gets there from a checkpoint
vector_ir       the inner loop: 16 rows of weights times a few vectors, in LLVM's vector notation
tile_ir         the other one: a tile of a product of two FP32 matrices
lowering        how kernels become code, once, within the entry that calls them
reference       tuples of arrays handed on as an address
layers          what differs from layer to layer
model           the arrays that one model needs, in the order in which a token streams them
kernels_matrix  a matrix times vectors: rounding the vectors, sharing out the panels
kernels_vector  norms, rotation, activations: everything that touches one vector
cache           keys and values of earlier tokens, stored as weights are
kernels_attention  one token's queries against the cache, in chunks of positions
kernels_groups  a matrix times many vectors
kernels_prompt_attention  many queries against a prompt
team            threads that meet at a barrier instead of being started for every product
places          where a layer's matrices, heads, keys and values are
products        what a token adds to the residual
layer_inputs    layers that read the token again, which few models have
decode          the token, start to end; or a few tokens at once
prefill         the prompt, as products of matrices; with prompt_products and prompt_layer_inputs
```

What the larger steps gained: SmolLM2-135M on two cores with AVX-512 and VNNI, versions in turns within one run, medians
of 64 to 160 tokens after a prompt of 64, unless it says otherwise:

| step | decoded token |
|---|---|
| weights asked for 4 KiB ahead (1, 2 and 8 KiB gave 10.4, 9.9 and 9.9 ms) | INT8 10.1 → 9.7 ms |
| rows in lanes: nothing added up across lanes, one stream of weights | INT8 8.9 → 5.9 ms |
| FP32 without last bytes that are zero in a whole layer; pages of 2 MiB, granted at last | FP32 23.2 → 17.3 ms |
| keys and values in INT8, stored and multiplied as weights are | after 2,048 tokens, INT8 14.8 → 8.5 ms |

The second step also serves prompts. Against llama.cpp, each version in one run with it, the first token after 512 came
at 0.84 times llama.cpp's speed before it and 1.07 after in FP32, at 1.47 and 1.52 in INT8, at 0.68 and 1.17 in INT4.
Then, for the prompt alone, thread time of one core on 512 tokens, before and after:

| step | before | after |
|---|---|---|
| causal attention as two products of matrices, queries side by side | 462 ms | 90 ms |
| inputs of 12 tokens side by side: INT8 products | 632 ms | 490 ms |
| the same, and FP32 weights expanded once for all tokens: FP32 products | 995 ms | 692 ms |
| no reference counts: INT8 inputs rounded; heads turned | 104; 54 ms | 21; 13 ms |

FP32 products then run at 150 to 160 GFLOPS a core, MKL's speed there. INT4 gains nothing from the second step, since
its codes are unpacked for every group. On a Zen 1 (AVX2, where FP32 is as fast as INT8) they are expanded to FP32 once
for all tokens, too: the first token after 64 and 512 came in 213 and 1,807 ms for 310 and 2,696, two cores, in turns;
after 4 in 32 for 22. INT8 would gain a tenth at 512, nothing at 64, and lose a third below 12, and is left.

Without reference counts a decoded INT8 token takes 0.9 of the time. Against llama.cpp in one run, the first token then
came at 1.36 and 1.44 times its speed after 64 and 512 tokens in FP32, at 2.8 and 2.8 in INT8, at 1.6 and 1.8 in INT4.

A decoded FP32 token is bound by memory, as llama.cpp's is: with all four bytes of a weight it was read at 86 to 94 % of
the speed at which two cores add up an array, so that only fewer bytes help. Of the default model's 538 MB, all that is
not zero fits into 432 MB.

Packing weights in NumPy made a start last 1.6 to 3.7 s; compiled and in threads, INT8 and INT4 are ready in
1.0 to 1.1 s, FP32 in 1.0 to 2.3 s.

Numba took 84 s of processor time to compile one precision (INT8, AVX2). Kernels that are optimised only where an entry
uses them, without wrappers of their own, left 45 s; models and caches handed on as addresses, and loops that are called
instead of copied, 38 s on the same machine while it was busy.
"""
