"""From a function to a program: what it did, what that computes, and in which instructions."""
