"""Small programs for test_exec.py: each ends well or badly in its own way."""

# ruff: noqa: E501

from __future__ import annotations

PROGRAMS = {
    "nothing": "",
    "prints": "print('out'); import sys; print('err', file=sys.stderr)",
    "no_newline": "import sys; sys.stdout.write('no newline')",
    "asyncio": "import asyncio\nasync def main(): await asyncio.sleep(0.01); print('ran')\nasyncio.run(main())",
    "attributes": "print(sorted(globals()), __name__, __file__, __package__, getattr(__spec__, 'name', 0), __cached__, __doc__)",
    "main_module": "import sys; print(sys.modules['__main__'].__dict__ is globals(), type(__builtins__), __loader__.name)",
    "argv": "import sys; print(sys.argv, sys.path[0], len(sys.path))",
    "docstring": "'''the doc'''\nprint(__doc__)",
    "annotations": "x: int = 1\nprint(__annotations__)",
    "future": "import inspect\ndef f(x: int): pass\nprint(inspect.signature(f).parameters['x'].annotation is int)",
    "if_main": "if __name__ == '__main__':\n    print('main')",
    "bom": b"\xef\xbb\xbfprint('bom')",
    "cookie": "# -*- coding: latin-1 -*-\nprint(ascii('é'))".encode("latin-1"),
    "crlf": b"print('one')\r\nif True:\r\n    print('two')\r\n",
    "exit_none": "import sys; sys.exit()",
    "exit_number": "import sys; sys.exit(7)",
    "exit_zero": "import sys; sys.exit(0)",
    "exit_true": "import sys; sys.exit(True)",
    "exit_negative": "import sys; sys.exit(-1)",
    "exit_text": "import sys; print('before'); sys.exit('a text')",
    "exit_tuple": "import sys; sys.exit((1, 2))",
    "exit_caught": "import sys\ntry: sys.exit(3)\nexcept SystemExit: print('caught')",
    "exit_in_task": "import asyncio, sys\nasync def main(): sys.exit(4)\nasyncio.run(main())",
    "os_exit": "import atexit, os; atexit.register(print, 'never'); os._exit(9)",
    "raises": "def f():\n    raise ValueError('bad')\nf()",
    "raises_chained": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('second') from error",
    "raises_group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "raises_in_task": "import asyncio\nasync def main(): raise KeyError('k')\nasyncio.run(main())",
    "raises_base": "class Odd(BaseException): pass\nraise Odd('odd')",
    "import_error": "import no_such_module_anywhere",
    "syntax_error": "print('x'\nx = = 1\n",
    "indentation_error": "if True:\nprint(1)\n",
    "recursion": "import sys\nsys.setrecursionlimit(200)\ndef f(): f()\ntry:\n    f()\nexcept RecursionError as e:\n    print('deep')",
    "excepthook": "import sys\nsys.excepthook = lambda kind, value, trace: print('hook', kind, value, trace.tb_lineno)\n1 / 0",
    "excepthook_breaks": "import sys\ndef hook(*_): raise OSError('hook')\nsys.excepthook = hook\n1 / 0",
    "excepthook_exits": "import sys\nsys.excepthook = lambda *_: sys.exit(5)\n1 / 0",
    "last_value": "import atexit, sys\natexit.register(lambda: print(repr(sys.last_value), sys.last_type))\n1 / 0",
    "interrupted": "raise KeyboardInterrupt",
    "interrupted_by_signal": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)",
    "interrupted_in_task": "import asyncio\nasync def main(): raise KeyboardInterrupt\nasyncio.run(main())",
    "interrupted_kind": "class Mine(KeyboardInterrupt): pass\nraise Mine",
    "terminated": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "atexit": "import atexit\natexit.register(print, 'first in')\natexit.register(print, 'last in')",
    "atexit_after_error": "import atexit\natexit.register(print, 'at exit')\n1 / 0",
    "atexit_raises": "import atexit\ndef bad(): raise ValueError('late')\natexit.register(bad)",
    "atexit_file": "import atexit\natexit.register(lambda: print('__file__' in globals()))",
    "thread_left": "import threading, time, atexit\natexit.register(print, 'at exit')\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\nprint('main ends')",
    "thread_raises": "import threading\nthreading.Thread(target=lambda: 1 / 0, name='T').start()",
    "daemon_left": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "pool_left": "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
    "pool.submit(print, 'pooled').result()",
    "thread_after_error": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n1 / 0",
    "pickle": "import pickle\nclass Thing: pass\nprint(type(pickle.loads(pickle.dumps(Thing()))) is Thing)",
    "spawn": "import multiprocessing, os\ndef work(x): return x * 2\nif __name__ == '__main__':\n"
    "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(work, [1, 2]))\n"
    "    print('once')",
    "spawn_sees": "import multiprocessing, sys\ndef work(): print('loophound.cli' in sys.modules, flush=True)\n"
    "if __name__ == '__main__':\n    p = multiprocessing.get_context('spawn').Process(target=work)\n"
    "    p.start(); p.join(); print(p.exitcode)",
    "fork": "import os\npid = os.fork()\nif pid == 0:\n    raise SystemExit(3)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    "stdin": "print(input(), input())",
    "closed_stdout": "import sys; print('x'); sys.stdout.close()",
    "closed_stderr": "import sys; sys.stderr.close(); print('x')",
    "no_stderr": "import sys; sys.stderr = None; sys.exit('text')",
    "warns": "import warnings; warnings.warn('careful')",
    "deprecated": "import warnings; warnings.warn('old', DeprecationWarning)",
    "sibling": "import sibling; print(sibling.NAME)",
    "uncollected": "class Loud:\n    def __del__(self): print('deleted')\nkept = Loud()",
    "unawaited": "import asyncio\nasync def f(): pass\nf()",
    "asyncgen": "import asyncio\nasync def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\n"
    "async def main():\n    async for _ in g(): break\nasyncio.run(main())",
}  # fmt: skip
