"""Compiled functions, written for others: as functions of JAX and PyTorch, as files of C and ONNX.

Each writer reads the same programs as the executors do, and says them in another language.

``arrays``       a program as a function of arrays, for libraries that differentiate them
``jax``          how JAX says that
``torch``        how PyTorch says it; ``torch_functions``: a compiled function as one of PyTorch
``c_formulas``   the formulas of the operator table in C
``c_code``       statements, each of which gives a name to what it computes
``c_reading``    a program read as names in C, one number after the other
``c_arrays``     instructions of many numbers as loops
``c_loops``      loops stay loops
``c_functions``  what a path is in C: its value, its gradients, its Jacobian
``c_file``       the file as a whole: its first comment, its names, its functions
``c``            ``to_c``: one file of C, that needs ``math.h`` alone
``refused``      what no file can say, refused with the line of user code
``symbolic``     arrays that are written, not computed: nodes of an ONNX graph
``onnx``         how ONNX says what a program does; ``onnx_file``: ``to_onnx``
"""
