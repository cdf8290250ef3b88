"""A shop that blocks its event loop in a few places; `README.md` says where."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from . import services

app = FastAPI(title="Shop")


@app.get("/")
async def home() -> dict[str, str]:
    return {"shop": "open"}


@app.get("/items/{item_id}")
async def show_item(item_id: int) -> dict[str, int]:
    return {"item": item_id}


@app.get("/news")
async def wait_for_news(seconds: float = 0.3) -> dict[str, float]:
    await asyncio.sleep(seconds)
    return {"waited": seconds}


@app.post("/orders/{order}/payment")
async def pay(order: int, seconds: float = 0.3) -> dict[str, str]:
    return {"receipt": services.charge_card(order, seconds)}


@app.post("/orders/{order}/payment-in-thread")
async def pay_in_thread(order: int, seconds: float = 0.3) -> dict[str, str]:
    return {"receipt": await asyncio.to_thread(services.charge_card, order, seconds)}


@app.get("/items/{item_id}/stock")
async def show_stock(item_id: int, seconds: float = 0.3) -> dict[str, str]:
    return {str(item_id): services.ask_warehouse(seconds).decode()}


@app.get("/addresses/{address}")
async def check_address(address: str) -> dict[str, bool]:
    return {"valid": services.is_address(address)}


@app.get("/reports/{day}")
async def report(day: str, sales: int = 2_000_000) -> dict[str, int]:
    return {day: services.total_of_day(sales)}
