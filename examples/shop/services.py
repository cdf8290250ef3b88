"""What the shop's handlers call. These are plain functions: each blocks whoever calls it."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time

ADDRESS = re.compile(r"^(\w+[.\-]?)+@example\.com$")
DAY_TOTALS = """
    WITH RECURSIVE sale(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM sale WHERE n < ?)
    SELECT sum(n % 97) FROM sale
"""

database = sqlite3.connect(":memory:", check_same_thread=False)


def charge_card(order: int, seconds: float) -> str:
    time.sleep(seconds)
    return f"receipt-{order}"


def ask_warehouse(seconds: float) -> bytes:
    """Wait for a peer that takes `seconds` seconds to answer, as a synchronous client does."""
    here, warehouse = socket.socketpair()
    with here, warehouse:
        threading.Timer(seconds, warehouse.sendall, [b"in stock"]).start()
        return here.recv(64)


def is_address(text: str) -> bool:
    return ADDRESS.match(text) is not None


def total_of_day(sales: int) -> int:
    return int(database.execute(DAY_TOTALS, (sales,)).fetchone()[0])
