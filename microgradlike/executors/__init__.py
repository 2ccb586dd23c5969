"""What runs a program: with NumPy, or as machine code."""
