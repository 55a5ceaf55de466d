"""How many requests go at a time."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from tag_rewards.engines.openai_endpoint import Gate
from tag_rewards.errors import InputError


async def most_inside(gate, tasks=40, answered=False):
    """How many of many tasks were inside at a time."""
    inside = most = 0

    async def go():
        nonlocal inside, most
        async with gate:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            if answered:
                gate.answered()

    await asyncio.gather(*(go() for _ in range(tasks)))
    assert inside == 0
    return most


def refused(gate, seconds=0.0):
    gate.pause(monotonic(), "refused", seconds)


def test_a_refusal_halves_them_and_answers_bring_them_back():
    async def check():
        gate = Gate(8, backoff=0.01, patience=10)
        assert await most_inside(gate) == 8
        refused(gate)
        assert await most_inside(gate) == 4
        for _ in range(9):
            refused(gate)
        assert await most_inside(gate) == 1
        await most_inside(gate, tasks=100, answered=True)
        assert await most_inside(gate) == 8

    asyncio.run(check())


def test_refusals_of_requests_that_were_out_together_count_once():
    async def check():
        gate = Gate(8, backoff=0.01, patience=10)
        sent_at = monotonic()
        for _ in range(8):
            gate.pause(sent_at, "refused", 0)
        assert await most_inside(gate) == 4

    asyncio.run(check())


def test_pauses_double():
    async def pauses():
        gate = Gate(1, backoff=0.04, patience=10)
        for _ in range(3):
            began = monotonic()
            gate.pause(began, "refused")
            async with gate:
                yield monotonic() - began

    async def check():
        waited = [pause async for pause in pauses()]
        for pause, longest in zip(waited, (0.04, 0.08, 0.16), strict=True):
            assert longest / 2 <= pause < longest + 1

    asyncio.run(check())


def test_the_longest_pause_ends_all():
    """A pause that the endpoint asks for counts before it has been waited for."""

    async def check():
        gate = Gate(1, backoff=0.01, patience=10)
        refused(gate, 9)
        with pytest.raises(InputError, match=r"^refused, .*asks to wait for 11 s"):
            refused(gate, 11)
        gate.answered()
        with pytest.raises(InputError):
            refused(gate, 10.1)

    asyncio.run(check())


def test_whoever_leaves_the_queue_gives_the_turn_on():
    """Cancelled in the very moment in which it was its turn."""

    async def check():
        gate = Gate(1, backoff=0.01, patience=10)

        async def go():
            async with gate:
                return "went"

        await gate.__aenter__()
        first, second = asyncio.create_task(go()), asyncio.create_task(go())
        await asyncio.sleep(0.01)
        await gate.__aexit__(None, None, None)
        first.cancel()
        assert await asyncio.wait_for(second, 5) == "went"

    asyncio.run(check())
