"""`vswitch up` reads its command line by itself as the library of the other subcommands reads it."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
import typer

from vswitch.cli import up, up_line
from vswitch.cli.main import app

LINES = [
    "",
    "--bridge br0",
    "--bridge=br0 --bridge br1 --port br1:p1 --port=p2",
    "--datapath netdev --datapath system",
    "--database f --database=/g --remote ptcp:6640 --remote pssl:6640",
    "--foreground",
    "--foreground --no-foreground",
    "--no-foreground --foreground --web",
    "--switch-option --enable-dummy --switch-option=--disable-system --switch-option --",
    "--bridge= --database=",
    "--bridge --port",
    "--",
]
WRONG = [
    "br0", "--help", "-h", "--bri br0", "--bridge", "--web=1", "--no-web", "--foreground=yes", "-b br0",
    "-- br0",
]  # fmt: skip


def _by_library(words: list[str], monkeypatch: pytest.MonkeyPatch) -> up.UpOptions | None:
    """What the library's reading would bring up; None if nothing."""
    found: list[up.UpOptions] = []
    with monkeypatch.context() as patch:
        patch.setattr(up, "up", found.append)
        try:
            typer.main.get_command(app)(["up", *words], standalone_mode=False)
        except click.ClickException:
            assert not found
    return found[0] if found else None


@pytest.mark.parametrize("line", LINES)
def test_a_line_means_what_the_library_takes_it_for(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = line.split()
    assert up_line.read_options(words) == _by_library(words, monkeypatch) is not None


@pytest.mark.parametrize("line", WRONG)
def test_what_the_library_explains_is_left_to_it(line: str) -> None:
    assert up_line.read_options(line.split()) is None


def test_both_know_the_same_options() -> None:
    command = typer.main.get_command(app).commands["up"]  # type: ignore[attr-defined]
    words = {word for option in command.params for word in (*option.opts, *option.secondary_opts)}
    assert {f"--{name}" for name in up_line.LONG} == words


def test_the_library_is_not_loaded() -> None:
    code = "import sys; import vswitch.cli.up_line; print({'typer', 'rich', 'asyncio'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
