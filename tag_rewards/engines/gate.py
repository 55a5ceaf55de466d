"""How many requests an endpoint gets at a time, and when it gets none."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from types import TracebackType

_LONGEST_PAUSE = 60.0


class Gate:
    """Lets requests through, a bounded number at a time; to be entered with `async with`.

    An endpoint that is overloaded or away tells so to one request, but it concerns all of them: all
    of them wait, and then half as many go at a time. Each answer lets a little more through again,
    as TCP does (additive increase, multiplicative decrease).

    Args:
        most: Requests at a time, 1 or more.
        backoff: Seconds of the first pause where the endpoint names no time; they double.
        patience: Seconds without an answer after which to give up.
    """

    def __init__(self, most: int, backoff: float, patience: float) -> None:
        self._most = most
        self._backoff = backoff
        self._patience = patience
        self._room = float(most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        self._paused_at = 0.0
        self._pauses = 0
        self._away_since: float | None = None

    async def __aenter__(self) -> Gate:
        while True:
            if (pause := self._resume_at - monotonic()) > 0:
                await asyncio.sleep(pause)
            elif self._inside >= int(self._room):
                await self._wait_for_room()
            else:
                self._inside += 1
                return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inside -= 1
        self._wake_one()

    def answered(self) -> None:
        """The endpoint is there, and answers."""
        self._away_since = None
        self._pauses = 0
        self._room = min(self._most, self._room + 1 / self._room)
        self._wake_one()

    def wait(self, seconds: float) -> None:
        """Nothing goes for some time, of which the endpoint told in time."""
        self._resume_at = max(self._resume_at, monotonic() + seconds)

    def pause(self, sent_at: float, reason: str, seconds: float | None = None) -> None:
        """The endpoint takes no requests now.

        Args:
            sent_at: When the request was sent that found out, of `time.monotonic`.
            reason: Why, for the message.
            seconds: How long the endpoint wants to be left alone, if it says so.

        Raises:
            InputError: That has lasted, or would last, for longer than `patience`.
        """
        now = monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        left = self._away_since + self._patience - now
        if left <= 0 or (seconds or 0) > left:
            wanted = f" (it asks to wait for {seconds:.0f} s)" if seconds else ""
            raise InputError(
                f"{reason}, and no answer came for {now - self._away_since:.0f} s{wanted}; "
                "start again when it answers: what is recorded is not asked again"
            )
        if sent_at >= self._paused_at:  # who was sent before the last pause knows nothing new
            self._paused_at = now
            self._pauses += 1
            self._room = max(1.0, self._room / 2)
            if seconds is None:
                longest = min(_LONGEST_PAUSE, self._backoff * 2.0 ** min(self._pauses - 1, 30))
                seconds = min(left, longest * random.uniform(0.5, 1))
        self.wait(seconds or 0)

    async def _wait_for_room(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # somebody else must have the turn
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
