"""Methods of types that are written in C, which no assignment reaches."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

CAN_CHANGE = sys.implementation.name == "cpython"


def namespace_of(owner: type) -> dict[str, Any]:
    """The dictionary behind the read-only view `owner.__dict__`, which refers to nothing else.

    Only methods without a slot in the type (object.h, PyTypeObject) may be changed in it: `read`
    may, `__next__` may not.
    """
    [found] = [part for part in gc.get_referents(owner.__dict__) if type(part) is dict]
    return found


def changed(owner: type) -> None:
    """Drop what the interpreter has cached of the type and of those derived from it.

    PyType_Modified() is for this very case: "after any manual modification of the attributes" (C API).
    """
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))
