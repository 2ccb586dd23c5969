"""A plan as machine code.

``emit``       the part of Python in which kernels are written, as LLVM
``addresses``  pointers, and the address of a compiled function, which is kept
``gemm``       large products of matrices
``kernels``    a small piece of machine code for each kind of instruction and each formula
``encode``     a plan as lists of whole numbers, each with the kernel that it calls
``drive``      the loop that goes over the lists, block after block of rows
``executor``   the memory that this needs, and threads
"""
