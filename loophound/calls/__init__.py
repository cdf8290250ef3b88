"""Synchronous calls within requests: which are known, how they are seen, and what is said of them.

`catalogue` is the table, `patching` puts the eyes in and takes them out, `observing` is what runs
around each call, `judging` tells who made it, `flagger` wires it for one user.
"""
