"""Several processes for one application: who starts, who serves, who is replaced.

`policy` decides and has no clock and no process; `supervisor` carries out. `worker` is what
runs in each of the processes.
"""
