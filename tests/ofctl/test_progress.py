"""Commands that take many flows show on a terminal how far they are, and nothing elsewhere."""

from __future__ import annotations

import io

import pytest

from vswitch.cli.ofctl.progress import MANY, shown


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_many_flows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(shown(range(MANY), "sending flows")) == list(range(MANY))
    assert "sending flows" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_few_flows_and_pipes_have_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    few = range(MANY - 1)
    assert shown(few, "sending flows") is few
    monkeypatch.setattr("sys.stderr", pipe)
    many = range(MANY)
    assert shown(many, "sending flows") is many
    assert not terminal.getvalue() + pipe.getvalue()
