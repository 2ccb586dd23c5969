"""What the user holds: a compiled function, its rows, branches and checks."""
