"""`Paced`: an answer of the switch that is asked for as often as it is cheap, and no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

SHARE: Final = 0.01
"""The part of the time that the switch may spend on answering one question again and again."""
LEAST_S: Final = 0.9

T = TypeVar("T")


class Paced(Generic[T]):
    """The last answer of `fn`, renewed when it is asked for and the pause since the last one is over.

    The pause is `1 / SHARE` times as long as the answer took, so that pages, however many and however
    often they look, cost the switch at most that share of its time.
    """

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn = fn
        self._lock = threading.Lock()
        self._answer: T | None = None
        self._next = 0.0

    def __call__(self) -> T:
        """The answer. What `fn` raises is raised, and nothing is kept."""
        with self._lock:
            started = time.monotonic()
            if self._answer is None or started >= self._next:
                self._answer = None
                self._answer = self._fn()
                took = time.monotonic() - started
                self._next = time.monotonic() + max(LEAST_S, took / SHARE)
            return self._answer

    def forget(self) -> None:
        """Ask anew at the next call."""
        with self._lock:
            self._next = 0.0
