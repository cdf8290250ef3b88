"""Computing: in Python, in C with and without the GIL, and on other threads."""

from __future__ import annotations

import asyncio
import copy
import functools
import hashlib
import json
import pickle
import re
import threading
import time
import zlib
from collections.abc import Iterator

from loophound.detector.records import Cause
from tests.corpus import sizes
from tests.corpus.scenario import BLOCKED_S, Expected, stall, stalls

PAUSE_S = 0.03
CPU_S = 0.35
cpu = functools.partial(stall, Cause.CPU)
held = functools.partial(stall, Cause.NATIVE, held=True)
released = functools.partial(stall, Cause.NATIVE, held=False)


def pattern() -> re.Pattern[str]:
    return re.compile("(a+)+$")


@cpu(prepare=sizes.loops)
async def cpu_a_loop() -> None:
    await asyncio.sleep(PAUSE_S)
    total = 0
    for number in range(sizes.loops()):  # !cpu_a_loop
        total = (total * 31 + number) % 1_000_003  # !cpu_a_loop
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_a_majority_line() -> None:
    def minor(n: int) -> int:
        total = 0
        for number in range(n):
            total += number
        return total

    def major(n: int) -> int:
        total = 0
        for number in range(n):  # !cpu_a_majority_line
            total = (total * 31 + number) % 1_000_003  # !cpu_a_majority_line
        return total

    await asyncio.sleep(PAUSE_S)
    size = sizes.loops()
    minor(size // 6)
    major(size)
    minor(size // 6)
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_a_majority_expression() -> None:
    def work(size: int) -> int:
        total = 0
        for number in range(size):
            total += number
            total += sum([number % 7, number % 11, number % 13, number % 17, number % 19])  # !cpu_a_majority_expression
            total %= 1_000_003
        return total

    await asyncio.sleep(PAUSE_S)
    work(sizes.loops() // 4)
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_many_leaf_functions() -> None:
    def leaf_1(n: int) -> int:
        return n * 31 % 1_000_003

    def leaf_2(n: int) -> int:
        return n * 17 % 1_000_003

    def work(size: int) -> int:
        total = 0
        for number in range(size):  # !cpu_many_leaf_functions
            total += leaf_1(number)  # !cpu_many_leaf_functions
            total += leaf_2(number)  # !cpu_many_leaf_functions
            total += number * 3 % 7 + number % 3 - number % 5 + number * 31 % 1_000_003  # !cpu_many_leaf_functions
            total += number * 5 % 7 + number % 11 - number % 13 + number * 29 % 1_000_003  # !cpu_many_leaf_functions
        return total

    await asyncio.sleep(PAUSE_S)
    work(sizes.loops() // 5)
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_recursion() -> None:
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)  # !cpu_recursion

    await asyncio.sleep(PAUSE_S)
    until = time.thread_time() + CPU_S
    while time.thread_time() < until:
        fib(18)
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_a_generator() -> None:
    def squares(n: int) -> Iterator[int]:
        for number in range(n):  # !cpu_a_generator
            yield number * number % 1_000_003 + number % 7 * 3 - number % 11  # !cpu_a_generator

    await asyncio.sleep(PAUSE_S)
    sum(squares(sizes.loops()))  # !cpu_a_generator
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_a_comprehension() -> None:
    await asyncio.sleep(PAUSE_S)
    assert [number * 31 % 1_000_003 for number in range(sizes.loops())]  # !cpu_a_comprehension
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_a_key_function() -> None:
    def key(number: int) -> int:
        return number * 31 % 1_000_003 + number % 7 + number % 11 + number % 13  # !cpu_a_key_function

    await asyncio.sleep(PAUSE_S)
    sorted(range(sizes.loops() // 2), key=key)  # !cpu_a_key_function
    await asyncio.sleep(PAUSE_S)


@cpu()
async def cpu_a_library_in_python() -> None:
    rows = [{"id": n, "tags": ["a", "b"], "nested": {"k": [1, 2, 3]}} for n in range(300)]
    await asyncio.sleep(PAUSE_S)
    until = time.thread_time() + CPU_S
    while time.thread_time() < until:
        copy.deepcopy(rows)  # !cpu_a_library_in_python
    await asyncio.sleep(PAUSE_S)


@cpu(prepare=sizes.loops)
async def cpu_in_a_callback() -> None:
    def callback() -> None:
        total = 0
        for number in range(sizes.loops()):  # !cpu_in_a_callback
            total = (total * 31 + number) % 1_000_003  # !cpu_in_a_callback

    asyncio.get_running_loop().call_later(PAUSE_S, callback)
    await asyncio.sleep(2 * PAUSE_S)


@cpu()
async def cpu_busy_waiting() -> None:
    await asyncio.sleep(PAUSE_S)
    until = time.thread_time() + CPU_S
    while time.thread_time() < until:  # !cpu_busy_waiting
        pass
    await asyncio.sleep(PAUSE_S)


@stalls(
    Expected((Cause.CPU,), "cpu_and_sleep_back_to_back:computes"),
    Expected((Cause.SLEEP,), "cpu_and_sleep_back_to_back:sleeps"),
    prepare=sizes.loops,
)
async def cpu_and_sleep_back_to_back() -> None:
    async def computes() -> None:
        total = 0
        for number in range(sizes.loops()):  # !cpu_and_sleep_back_to_back:computes
            total = (total * 31 + number) % 1_000_003  # !cpu_and_sleep_back_to_back:computes

    async def sleeps() -> None:
        time.sleep(BLOCKED_S)  # !cpu_and_sleep_back_to_back:sleeps

    await asyncio.sleep(PAUSE_S)
    await asyncio.gather(computes(), sleeps())
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.backtracking)
async def native_regex() -> None:
    def check(text: str) -> object:
        return re.match("(a+)+$", text)  # !native_regex

    await asyncio.sleep(PAUSE_S)
    check(sizes.backtracking())
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.backtracking)
async def native_regex_in_the_last_line_of_a_task() -> None:
    async def check() -> object:
        return pattern().match(sizes.backtracking())  # !native_regex_in_the_last_line_of_a_task

    await asyncio.create_task(check())
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.backtracking)
async def native_regex_in_a_callback() -> None:
    matching = pattern()

    def callback() -> None:
        matching.match(sizes.backtracking())  # !native_regex_in_a_callback

    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.exponent)
async def native_power() -> None:
    def power(exponent: int) -> int:
        return 3**exponent  # !native_power

    await asyncio.sleep(PAUSE_S)
    power(sizes.exponent())
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.numbers)
async def native_sort() -> None:
    await asyncio.sleep(PAUSE_S)
    sorted(sizes.numbers())  # !native_sort
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.misses)
async def native_in_a_list() -> None:
    def missing(values: list[float]) -> bool:
        return 1.5 in values  # !native_in_a_list

    await asyncio.sleep(PAUSE_S)
    missing(sizes.misses())
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.document)
async def native_json_dumps() -> None:
    await asyncio.sleep(PAUSE_S)
    json.dumps(sizes.document())  # !native_json_dumps
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.pickled)
async def native_pickle() -> None:
    document = sizes.pickled()
    await asyncio.sleep(PAUSE_S)
    pickle.dumps(document)  # !native_pickle
    await asyncio.sleep(PAUSE_S)


@held(prepare=sizes.loops)
async def native_sum_of_a_range() -> None:
    await asyncio.sleep(PAUSE_S)
    sum(range(sizes.loops() * 6))  # !native_sum_of_a_range
    await asyncio.sleep(PAUSE_S)


@released(prepare=sizes.rounds)
async def native_pbkdf2() -> None:
    await asyncio.sleep(PAUSE_S)
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", sizes.rounds())  # !native_pbkdf2
    await asyncio.sleep(PAUSE_S)


@released(prepare=sizes.compressible)
async def native_compression() -> None:
    data = sizes.compressible()
    await asyncio.sleep(PAUSE_S)
    zlib.compress(data, 9)  # !native_compression
    await asyncio.sleep(PAUSE_S)


@released()
async def native_hash_of_much() -> None:
    data = bytes(120_000_000)
    await asyncio.sleep(PAUSE_S)
    hashlib.sha3_256(data).digest()  # !native_hash_of_much
    await asyncio.sleep(PAUSE_S)


@stall(Cause.CONTENTION, meanwhile=True, prepare=sizes.backtracking)
async def contention_a_regex_in_a_thread() -> None:
    matching = pattern()

    def hog() -> None:
        matching.match(sizes.backtracking())  # !contention_a_regex_in_a_thread

    await asyncio.sleep(PAUSE_S)
    thread = threading.Thread(target=hog, name="hog")
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)


@stall(Cause.CONTENTION, meanwhile=True, prepare=sizes.numbers)
async def contention_a_sort_in_a_pool() -> None:
    def hog() -> None:
        sorted(sizes.numbers())  # !contention_a_sort_in_a_pool

    await asyncio.sleep(PAUSE_S)
    job = asyncio.get_running_loop().run_in_executor(None, hog)
    while not job.done():
        await asyncio.sleep(0.001)


@stall(Cause.CONTENTION, meanwhile=True, prepare=sizes.exponent)
async def contention_beside_sleeping_threads() -> None:
    stop = threading.Event()
    sleepers = [threading.Thread(target=stop.wait) for _ in range(5)]
    for sleeper in sleepers:
        sleeper.start()

    def hog() -> None:
        assert 3 ** sizes.exponent()  # !contention_beside_sleeping_threads

    await asyncio.sleep(PAUSE_S)
    thread = threading.Thread(target=hog)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)
    stop.set()


@stalls(Expected((Cause.FLOOD,)))
async def flood_of_callbacks() -> None:
    def first() -> None:
        time.sleep(0.002)

    def second() -> None:
        time.sleep(0.001)

    loop = asyncio.get_running_loop()
    await asyncio.sleep(PAUSE_S)
    for number in range(200):
        loop.call_soon(second if number % 2 else first)
    await asyncio.sleep(PAUSE_S)


@stalls(Expected((Cause.FLOOD,)))
async def flood_of_one_callback() -> None:
    def callback() -> None:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass

    loop = asyncio.get_running_loop()
    await asyncio.sleep(PAUSE_S)
    for _ in range(150):
        loop.call_soon(callback)
    await asyncio.sleep(PAUSE_S)


@stalls(Expected((Cause.FLOOD,)))
async def flood_of_tasks() -> None:
    gate = asyncio.Event()

    async def serve(number: int) -> None:
        await gate.wait()
        until = time.thread_time() + 0.004
        while time.thread_time() < until:
            pass

    tasks = [asyncio.create_task(serve(number)) for number in range(80)]
    await asyncio.sleep(PAUSE_S)
    gate.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(PAUSE_S)
