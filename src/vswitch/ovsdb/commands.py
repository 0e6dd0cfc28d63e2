"""The runtime commands of a database server, as ovsdb-server(1) has them ("RUNTIME MANAGEMENT COMMANDS")."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vswitch.base.unixctl import CommandError, Commands
from vswitch.ovsdb.errors import OvsdbError
from vswitch.ovsdb.remotes import Remotes
from vswitch.ovsdb.server import Server


def _in_words(error: Exception) -> CommandError:
    if isinstance(error, OvsdbError):
        return CommandError(f"{error.tag}: {error.details}")
    if isinstance(error, ValueError):
        return CommandError(str(error))
    return CommandError(getattr(error, "strerror", None) or str(error))


def register(commands: Commands, server: Server, remotes: Callable[[], Remotes]) -> None:
    """Register the server's commands. `remotes` gives its sockets."""

    def compact(args: list[str]) -> str:
        try:
            server.compact(args[0] if args else "")
        except KeyError:
            raise CommandError("no database by that name") from None
        except OSError as error:
            raise _in_words(error) from error
        return ""

    def add_remote(args: list[str]) -> str:
        try:
            remotes().add(args[0])
        except (ValueError, OSError) as error:
            raise _in_words(error) from error
        return ""

    def remove_remote(args: list[str]) -> str:
        try:
            remotes().remove(args[0])
        except KeyError:
            raise CommandError("no such remote") from None
        return ""

    def add_db(args: list[str]) -> str:
        path = Path(args[0])
        if not path.exists():
            raise CommandError(f"I/O error: {path}: open failed (No such file or directory)")
        try:
            server.open(path)
        except ValueError as error:
            raise CommandError(f"ovsdb error: {error}") from error
        except (OvsdbError, OSError) as error:
            raise _in_words(error) from error
        return ""

    def remove_db(args: list[str]) -> str:
        if args[0] not in server.files:
            raise CommandError("Failed to find the database.")
        server.remove(args[0])
        return ""

    def reconnect(_args: list[str]) -> str:
        remotes().reconnect()
        return ""

    def storage_status(args: list[str]) -> str:
        if args[0] not in server.databases:
            raise CommandError("no database by that name")
        return "status: ok\n"

    def lines(names: list[str]) -> str:
        return "".join(f"{name}\n" for name in names)

    commands.register("ovsdb-server/add-db", "DB", 1, 1, add_db)
    commands.register("ovsdb-server/add-remote", "REMOTE", 1, 1, add_remote)
    commands.register("ovsdb-server/compact", "", 0, 1, compact)
    commands.register("ovsdb-server/get-db-storage-status", "DB", 1, 1, storage_status)
    commands.register("ovsdb-server/list-dbs", "", 0, 0, lambda _: lines(sorted(server.databases)))
    commands.register("ovsdb-server/list-remotes", "", 0, 0, lambda _: lines(remotes().names()))
    commands.register("ovsdb-server/reconnect", "", 0, 0, reconnect)
    commands.register("ovsdb-server/remove-db", "DB", 1, 1, remove_db)
    commands.register("ovsdb-server/remove-remote", "REMOTE", 1, 1, remove_remote)
