"""The registry of runtime commands; its messages are the real ovs-vswitchd's."""

import pytest

from vswitch.base.memory import MemoryReport
from vswitch.base.unixctl import CommandError, Commands


def _commands() -> Commands:
    commands = Commands()
    commands.register("fdb/show", "bridge", 1, 1, lambda args: f"table of {args[0]}\n")

    def fail(_args: list[str]) -> str:
        raise CommandError("no such bridge")

    commands.register("fdb/flush", "[bridge]", 0, 1, fail)
    return commands


@pytest.mark.parametrize(
    ("name", "args", "reply"),
    [
        ("fdb/show", ["br0"], (True, "table of br0\n")),
        ("fdb/flush", [], (False, "no such bridge")),
        ("fdb/show", [], (False, '"fdb/show" command requires at least 1 arguments')),
        ("fdb/show", ["a", "b"], (False, '"fdb/show" command takes at most 1 arguments')),
        (
            "bogus",
            [],
            (False, '"bogus" is not a valid command (use "list-commands" to see a list of valid commands)'),
        ),
    ],
)
def test_replies(name: str, args: list[str], reply: tuple[bool, str]) -> None:
    assert _commands().run(name, args) == reply


def test_list_commands_is_sorted_and_aligned() -> None:
    ok, text = _commands().run("list-commands", [])
    assert ok
    assert text == (
        "The available commands are:\n"
        "  fdb/flush               [bridge]\n"
        "  fdb/show                bridge\n"
        "  list-commands           \n"
    )


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="fdb/show"):
        _commands().register("fdb/show", "", 0, 0, lambda _args: "")


def test_memory_report_adds_up_what_subsystems_count() -> None:
    memory = MemoryReport()
    memory.register(lambda: {"rules": 5, "ports": 1})
    memory.register(lambda: {"ports": 2, "facets": 9})
    assert memory.show() == "facets:9 ports:3 rules:5"
