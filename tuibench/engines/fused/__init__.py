"""Our own decoder: a whole token in one compiled call, written in Python and compiled by Numba.

Read it in this order:

```
matrices        how a weight matrix is stored in FP32, INT8 and INT4
packing         how it gets there from a checkpoint
vector_ir       the one inner loop: 16 rows of weights times a few vectors, in LLVM's vector notation
model           the arrays that one model needs, in the order in which a token streams them
kernels_matrix  a matrix times vectors: rounding the vectors, sharing out the panels
kernels_vector  norms, rotation, activations: everything that touches one vector
kernels_attention  one query against the cache, in chunks of positions
team            threads that meet at a barrier instead of being started for every product
decode          the token, start to end; or a few tokens at once
prefill         the prompt, as products of matrices
```

What the larger steps gained: SmolLM2-135M on two cores with AVX-512 and VNNI, versions in turns within one run, medians
of 64 to 160 tokens after a prompt of 64:

| step | decoded token |
|---|---|
| weights asked for 4 KiB ahead (1, 2 and 8 KiB gave 10.4, 9.9 and 9.9 ms) | INT8 10.1 → 9.7 ms |
| rows in lanes: nothing added up across lanes, one stream of weights | INT8 8.9 → 5.9 ms |
| FP32 without last bytes that are zero in a whole layer; pages of 2 MiB, granted at last | FP32 23.2 → 17.3 ms |

The second step also serves prompts. Against llama.cpp, each version in one run with it, the first token after 512 came
at 0.84 times llama.cpp's speed before it and 1.07 after in FP32, at 1.47 and 1.52 in INT8, at 0.68 and 1.17 in INT4.
Blocks of 16 tokens instead of 8 made prompts slower: 0.84 and 0.92 times the speed in INT8, at 64 and 512 tokens.

A decoded FP32 token is bound by memory, as llama.cpp's is: with all four bytes of a weight it was read at 86 to 94 % of
the speed at which two cores add up an array, so that only fewer bytes help. Of the default model's 538 MB, all that is
not zero fits into 432 MB.

Packing weights in NumPy made a start last 1.6 to 3.7 s; compiled and in threads, INT8 and INT4 are ready in
1.0 to 1.1 s, FP32 in 1.0 to 2.3 s.
"""
