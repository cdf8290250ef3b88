"""Programs that block a loop, or do not, and what is to be said of each.

`python -m tests.corpus` runs them: --times 5 repeats, --exec runs each as a program of its own.
"""
