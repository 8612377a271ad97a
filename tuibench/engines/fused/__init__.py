"""Our own decoder: a whole token in one compiled call, written in Python and compiled by Numba.

Read it in this order:

```
matrices        how a weight matrix is stored in FP32, INT8 and INT4, and packed from a checkpoint
vector_ir       the one inner loop: 16 rows of weights times a few vectors, in LLVM's vector notation
model           the arrays that one model needs, in the order in which a token streams them
kernels_matrix  a matrix times vectors: rounding the vectors, sharing out the panels
kernels_vector  norms, rotation, activations: everything that touches one vector
kernels_attention  one query against the cache, in chunks of positions
team            threads that meet at a barrier instead of being started for every product
decode          the token, start to end; or a few tokens at once
prefill         the prompt, as products of matrices
```
"""
