"""A program as machine code: kernels, and the list of them that one function goes over."""
