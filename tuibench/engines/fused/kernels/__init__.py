"""Kernels, written in Python and LLVM's intermediate language, compiled by Numba."""
