"""The registry of runtime commands, what `ovs-appctl` asks for; the socket is `daemon/unixctl.py`'s.

A process has one `Commands` and hands it to whoever has something to tell. Messages for wrong
names and wrong numbers of arguments are Open vSwitch's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, final

from vswitch.base.records import dataclass

ANY: Final = 1 << 30
"""`max_args` of a command that takes any number of arguments."""

Handler: TypeAlias = Callable[[list[str]], str]
Json: TypeAlias = Any
"""What `json` writes: dict with str keys, list, str, int, float, bool or None."""
JsonHandler: TypeAlias = Callable[[list[str]], Json]


class CommandError(Exception):
    """The command failed; its text is the error reply."""


@dataclass(frozen=True)
class Command:
    """One command: `usage` describes its arguments; None keeps it out of `list-commands`. `json_fn`
    gives what `fn` says as a JSON value; a command without one has its text wrapped."""

    name: str
    usage: str | None
    min_args: int
    max_args: int
    fn: Handler
    json_fn: JsonHandler | None = None


@final
class Commands:
    """Commands by name. `list-commands` is always there."""

    def __init__(self) -> None:
        self._by_name: dict[str, Command] = {}
        self.register("list-commands", "", 0, 0, lambda _args: self.listing(), lambda _args: self._usages())

    def register(
        self,
        name: str,
        usage: str | None,
        min_args: int,
        max_args: int,
        fn: Handler,
        json_fn: JsonHandler | None = None,
    ) -> None:
        """Add a command; ValueError if `name` is taken. `fn(args)` returns the reply's text, `json_fn`
        the same as a JSON value. Without `usage` (None) it works, but is not listed."""
        if name in self._by_name:
            raise ValueError(f"command {name} is registered already")
        self._by_name[name] = Command(name, usage, min_args, max_args, fn, json_fn)

    def register_all(self, rows: Iterable[tuple[str, str | None, int, int, Handler]]) -> None:
        """Add several: name, usage, fewest and most arguments, function."""
        for row in rows:
            self.register(*row)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Command]:
        return iter(sorted(self._by_name.values(), key=lambda c: c.name))

    def listing(self) -> str:
        """All commands with their usage, as `ovs-appctl list-commands` prints them."""
        lines = [f"  {c.name:<23} {c.usage}\n" for c in self if c.usage is not None]
        return "The available commands are:\n" + "".join(lines)

    def _usages(self) -> Json:
        return {c.name: c.usage for c in self if c.usage is not None}

    def run(self, name: str, args: Sequence[str]) -> tuple[bool, str]:
        """Carry out a command: (True, reply) or (False, what was wrong).

        Only `CommandError` becomes an error reply; any other exception is the caller's.
        """
        ok, reply = self._run(name, args, as_json=False)
        return ok, str(reply)

    def run_json(self, name: str, args: Sequence[str]) -> tuple[bool, Json]:
        """As `run`, with the reply as a JSON value. A command that has only a text gives
        {"reply": TEXT, "reply-format": "plain"} (ovs-appctl(8) of Open vSwitch 3.4, --format)."""
        return self._run(name, args, as_json=True)

    def _run(self, name: str, args: Sequence[str], as_json: bool) -> tuple[bool, Json]:
        command = self._by_name.get(name)
        if command is None:
            return False, (
                f'"{name}" is not a valid command (use "list-commands" to see a list of valid commands)'
            )
        if len(args) < command.min_args:
            return False, f'"{name}" command requires at least {command.min_args} arguments'
        if len(args) > command.max_args:
            return False, f'"{name}" command takes at most {command.max_args} arguments'
        try:
            if as_json and command.json_fn is not None:
                return True, command.json_fn(list(args))
            text = command.fn(list(args))
            return True, {"reply": text, "reply-format": "plain"} if as_json else text
        except CommandError as e:
            return False, str(e)


def leading_number(text: str) -> int:
    """What C's atoi makes of an argument: the number that it begins with, behind blanks; 0 if there is none.
    The rest isn't looked at."""
    found = re.match(r"\s*([+-]?[0-9]+)", text, re.ASCII)
    return int(found[1]) if found else 0
