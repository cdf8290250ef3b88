"""A small shop whose handlers block the event loop in ten ways, beside handlers that do not.

The comment that begins with "planted" on a line names the blocker that stands there; the
judge reads those comments, so the code may change without a table of line numbers. The
mistakes are meant: this is what such code looks like in applications.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import requests
from fastapi import FastAPI

from loophound.demo.scratch import folder_on_disk
from loophound.demo.sizes import TARGET_S, exponential_size, linear_size, sizes
from loophound.demo.upstream import slow_rates

SALES_BY_DAY = """
    WITH RECURSIVE sale(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM sale WHERE n < ?)
    SELECT sum(n * n % 97) FROM sale
"""
WORDS = re.compile(r"^(\w+\s?)+$")
PRODUCT = {"id": 7, "name": "Assam, second flush", "price": 12.9, "weight": 0.125, "tags": ["tea", "black"]}

database = sqlite3.connect(":memory:", check_same_thread=False)
stock = {"tea": 120}
stock_lock = threading.Lock()
rates = requests.Session()
rates.trust_env = False  # the service is on this machine: no proxy


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    folder = await asyncio.to_thread(folder_on_disk)
    try:
        app.state.journal = folder / "orders.log"
        await asyncio.to_thread(calibrate, app.state.journal)
        async with slow_rates() as app.state.rates_url:
            yield
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


app = FastAPI(title="A shop with planted blockers", lifespan=lifespan)


def calibrate(journal: Path) -> None:
    sizes.sales = linear_size(sales_report)
    sizes.review_length = exponential_size(lambda length: is_clean("a" * length + "!"))
    sizes.products = linear_size(lambda count: export([PRODUCT] * count))
    # On a busy machine the thread queues for a CPU after each of these syncs: rather too few of them.
    sizes.order_lines = linear_size(lambda count: save_order(journal, count), target_s=TARGET_S * 0.7)
    sizes.ratings = linear_size(similarity)


# What blocks. Each helper is a plain function, called from a coroutine further down.


def charge(order: int) -> str:
    time.sleep(TARGET_S)  # planted: sleep
    return f"charged-{order}"


def fetch_rate(url: str) -> float:
    return float(rates.get(url, timeout=5).json()["rate"])  # planted: requests


def sales_report(sales: int) -> int:
    row = database.execute(SALES_BY_DAY, (sales,)).fetchone()  # planted: sqlite
    return int(row[0])


def is_clean(review: str) -> bool:
    return WORDS.match(review) is not None  # planted: regex


def export(products: list[dict[str, Any]]) -> str:
    return json.dumps(products)  # planted: json


def refresh_stock() -> None:
    with stock_lock:
        time.sleep(TARGET_S)  # the warehouse is slow to answer
        stock["tea"] = 120


def take(product: str) -> int:
    with stock_lock:  # planted: lock
        stock[product] -= 1
    return stock[product]


def render_invoice(number: str) -> str:
    subprocess.run(["sleep", str(TARGET_S)], check=True)  # planted: subprocess
    return f"invoice-{number}.pdf"


def save_order(journal: Path, lines: int) -> None:
    with journal.open("ab") as file:
        for line in range(lines):
            file.write(b"%d,tea,1\n" % line)
            file.flush()
            os.fsync(file.fileno())  # planted: fsync


def tax_on(income: int) -> int:
    from loophound.demo.tax_tables import TAX_BY_INCOME  # planted: import

    return TAX_BY_INCOME.get(income, 0)


def similarity(ratings: int) -> int:
    score = 0
    for rating in range(ratings):
        score = (score * 31 + rating * rating) % 1_000_003  # planted: loop
    return score


# Endpoints that block.


@app.post("/payments/{order}")
async def pay(order: int) -> dict[str, str]:
    return {"receipt": charge(order)}


@app.get("/rates/{currency}")
async def show_rate(currency: str) -> dict[str, float]:
    return {currency: fetch_rate(f"{app.state.rates_url}/{currency}")}


@app.get("/reports/sales")
async def show_sales() -> dict[str, int]:
    return {"total": sales_report(sizes.sales)}


@app.post("/reviews")
async def post_review() -> dict[str, bool]:
    return {"clean": is_clean("a" * sizes.review_length + "!")}


@app.get("/export")
async def show_export() -> dict[str, int]:
    return {"bytes": len(export([PRODUCT] * sizes.products))}


@app.post("/stock/{product}")
async def reserve(product: str) -> dict[str, int]:
    threading.Thread(target=refresh_stock, name="stock-refresh").start()
    while not stock_lock.locked():
        await asyncio.sleep(0.005)
    return {"left": take(product)}


@app.get("/invoices/{number}")
async def show_invoice(number: str) -> dict[str, str]:
    return {"file": render_invoice(number)}


@app.post("/orders")
async def post_order() -> dict[str, int]:
    save_order(app.state.journal, sizes.order_lines)
    return {"lines": sizes.order_lines}


@app.get("/tax/{income}")
async def show_tax(income: int) -> dict[str, int]:
    return {"tax": tax_on(income)}


@app.get("/similar/{product}")
async def show_similar(product: str) -> dict[str, int]:
    return {product: similarity(sizes.ratings)}


# Endpoints that do not: nobody may be accused here.


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{number}")
async def show_product(number: int) -> dict[str, Any]:
    return {**PRODUCT, "id": number}


@app.get("/news")
async def wait_for_news() -> list[str]:
    await asyncio.sleep(0.05)
    return ["First flush has arrived"]


@app.post("/refunds/{order}")
async def refund(order: int) -> dict[str, str]:
    """The same blocking call as in `pay`, where it belongs: in a worker thread."""
    return {"receipt": await asyncio.to_thread(charge, order)}
