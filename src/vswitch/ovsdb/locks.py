"""Locks (RFC 7047 section 4.1.8): one owner each, others queue, `steal` jumps the queue."""

from __future__ import annotations

from typing import Generic, TypeVar

Client = TypeVar("Client")


class Locks(Generic[Client]):
    """Who has which lock and who waits for it, in order. The first in a queue is the owner."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Client]] = {}

    def owner(self, name: str) -> Client | None:
        """The client that has lock `name`."""
        queue = self._queues.get(name)
        return queue[0] if queue else None

    def wants(self, name: str, client: Client) -> bool:
        """Whether `client` has the lock or waits for it."""
        return client in self._queues.get(name, ())

    def lock(self, name: str, client: Client) -> bool:
        """Queue `client` for the lock; whether it has it at once."""
        queue = self._queues.setdefault(name, [])
        queue.append(client)
        return queue[0] is client

    def steal(self, name: str, client: Client) -> Client | None:
        """Give the lock to `client` now; returns who lost it, and waits for it from now on."""
        queue = self._queues.setdefault(name, [])
        queue.insert(0, client)
        return queue[1] if len(queue) > 1 else None

    def unlock(self, name: str, client: Client) -> Client | None:
        """`client` gives up the lock, or waiting for it; returns who has it now and had it not."""
        queue = self._queues.get(name, [])
        had = bool(queue) and queue[0] is client
        if client in queue:
            queue.remove(client)
        if not queue:
            self._queues.pop(name, None)
            return None
        return queue[0] if had else None

    def leave(self, client: Client) -> list[tuple[str, Client]]:
        """`client` is gone; (lock, its new owner) for each lock that passed on."""
        passed: list[tuple[str, Client]] = []
        for name in list(self._queues):
            new = self.unlock(name, client)
            if new is not None:
                passed.append((name, new))
        return passed
