"""Compiled functions, written for others: as functions of JAX and PyTorch, as files of C and ONNX.

Each writer reads the same programs as the executors do, and says them in another language.
"""
