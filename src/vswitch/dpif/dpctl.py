"""`dpctl/...`: datapaths as they are, below all bridges, with the commands and words of ovs-dpctl(8).

Each command opens the datapath that it is about anew, so it sees what anybody made there, and it
needs nothing of the switch. `register` puts all of them on a process's list.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias, final

from vswitch.base.clock import Clock
from vswitch.base.records import dataclass
from vswitch.base.unixctl import CommandError, Json
from vswitch.dpif.open import dpif_open, dpif_types, enumerate_datapaths
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError
from vswitch.netdev.scope import Scope

PROGRAM: Final = "ovs-vswitchd"
"""What error messages begin with, whoever serves: tools compare them."""
DEFAULT_TYPE: Final = "system"


def failed(what: str, error: int = 0) -> CommandError:
    """An error as all these commands give it: "ovs-vswitchd: WHAT (errno's text)"."""
    return CommandError(f"{PROGRAM}: {what}" + (f" ({os.strerror(error)})" if error else ""))


@dataclass
class Options:
    """Options of a command, from wherever they stand among its arguments."""

    statistics: bool = False
    clear: bool = False
    may_create: bool = False
    more: bool = False
    names: bool | None = None

    @property
    def by_name(self) -> bool:
        """Whether ports are printed by name: where everything is shown, unless an option says otherwise."""
        return self.more if self.names is None else self.names


_FLAGS: Final = {
    "-s": ("statistics", True),
    "--statistics": ("statistics", True),
    "--clear": ("clear", True),
    "--may-create": ("may_create", True),
    "-m": ("more", True),
    "--more": ("more", True),
    "--names": ("names", True),
    "--no-names": ("names", False),
}


def take_options(args: Sequence[str]) -> tuple[Options, list[str]]:
    """The options that `args` begin with, and what is left. "-ms" is "-m -s". CommandError."""
    options = Options()
    rest = list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        for option in [word] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]:
            if option in _FLAGS:
                name, value = _FLAGS[option]
                setattr(options, name, value)
            elif option != "--read-only":
                raise CommandError(f"Unrecognized option {option}")
    return options, rest


@final
class Datapaths:
    """Finds and opens datapaths by the names that commands have for them."""

    def __init__(self, clock: Clock, scope: Scope) -> None:
        self.clock = clock
        self.scope = scope

    def split(self, name: str) -> tuple[str, str]:
        """(type, name) of "TYPE@NAME". A name alone is one of the kernel's datapaths."""
        type, at, rest = name.partition("@")
        return (type or DEFAULT_TYPE, rest) if at else (DEFAULT_TYPE, name)

    def all(self) -> list[tuple[str, str]]:
        """(type, name) of every datapath there is."""
        found: list[tuple[str, str]] = []
        for type in dpif_types():
            # A machine without a kind of datapath has none of them.
            with suppress(DpifError):
                found += [(type, name) for name in enumerate_datapaths(type, self.scope)]
        return found

    def open(self, name: str, what: str = "opening datapath") -> Dpif:
        """Open "[TYPE@]NAME". CommandError says that `what` failed."""
        type, short = self.split(name)
        try:
            return dpif_open(short, type, self.clock, self.scope)
        except DpifError as e:
            raise failed(what, e.errno or 0) from e

    def exists(self, name: str) -> bool:
        """Whether `name` is a datapath's."""
        return self.split(name) in self.all()

    def the_one(self) -> str:
        """The name, with its type, of the only datapath. CommandError if there are more, or none."""
        found = self.all()
        if len(found) == 1:
            return "@".join(found[0])
        more = f"{PROGRAM}: multiple datapaths, specify one\n" if found else ""
        raise CommandError(f"{more}{PROGRAM}: datapath not found (Invalid argument)")

    def open_optional(self, args: list[str], most: int) -> Dpif:
        """The datapath that the first of `args` names, or the only one there is if that names none. Where
        there are as many as the command takes, `most`, it has to. CommandError."""
        if args and self.exists(args[0]):
            return self.open(args[0])
        if len(args) == most:
            raise failed("datapath not found", errno.EINVAL)
        return self.open(self.the_one())

    def without_name(self, args: list[str]) -> list[str]:
        """`args` without the datapath that they begin with, if they do."""
        return args[1:] if args and self.exists(args[0]) else args


Run: TypeAlias = Callable[[Datapaths, Options, list[str]], str]
RunJson: TypeAlias = Callable[[Datapaths, Options, list[str]], Json]


@dataclass(frozen=True)
class Entry:
    """One command: `usage` describes its arguments, of which there are `least` to `most`, options among
    them."""

    name: str
    usage: str
    least: int
    most: int
    run: Run
    run_json: RunJson | None = None


def port_numbers(dpif: Dpif) -> dict[str, int]:
    """Port name -> number."""
    return {port.name: port.port_no for port in dpif.port_dump()}


def port_names(dpif: Dpif) -> dict[int, str]:
    """Port number -> name."""
    return {port.port_no: port.name for port in dpif.port_dump()}
