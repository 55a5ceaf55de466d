"""The targets that were read last, since the rollouts of a prompt share theirs."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from tag_rewards.target import Target


class TargetCache:
    """Reads targets, and remembers the last ones, so many of them and so large together.

    A target of boxes has half a kilobyte, one with outlines may have sixty: what is held is bounded
    by the characters of their JSON, of which one stands for about 10 bytes of memory. Threads may
    share it.

    Args:
        most: Targets that are remembered.
        most_chars: Characters of their JSON together.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> text = Target("joy", (), BoxSpace.normalized_1000()).to_json()
        >>> cache = TargetCache()
        >>> cache.read(text) is cache.read(text)
        True
    """

    def __init__(self, most: int = 4096, most_chars: int = 2 * 1024**2) -> None:
        self._most = most
        self._most_chars = most_chars
        self._targets: OrderedDict[str, Target] = OrderedDict()
        self._chars = 0
        self._lock = Lock()

    def read(self, text: str) -> Target:
        """The target of this JSON.

        Raises:
            InputError: As `Target.from_json`; such a text is not remembered.
        """
        with self._lock:
            known = self._targets.get(text)
            if known is not None:
                self._targets.move_to_end(text)
                return known
        target = Target.from_json(text)  # without the lock, so that nobody waits for a long one
        with self._lock:
            if text not in self._targets:
                self._targets[text] = target
                self._chars += len(text)
            while len(self._targets) > self._most or self._chars > self._most_chars:
                oldest, _ = self._targets.popitem(last=False)
                self._chars -= len(oldest)
        return target
