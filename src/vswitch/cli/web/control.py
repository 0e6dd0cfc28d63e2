"""What a page that was started with `--control` may change: a port, a flow, the learned addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from vswitch.cli.ofctl.flows import del_flows
from vswitch.cli.ofctl.ports import mod_port
from vswitch.cli.ofctl.switch import Settings, Switch
from vswitch.cli.sample import Ask
from vswitch.cli.web.tables import QueryError


def _port(_ask: Ask, words: Mapping[str, str]) -> str:
    up = words["state"]
    if up not in ("up", "down"):
        raise QueryError(f"state {up}: up or down")
    with Switch(words["bridge"], Settings()) as switch:
        mod_port(switch, [words["port"], up])
    return f"{words['port']} is {up}"


def _flow(_ask: Ask, words: Mapping[str, str]) -> str:
    with Switch(words["bridge"], Settings(strict=True)) as switch:
        del_flows(switch, [words["flow"]])
    return "the flow is gone"


def _flush(ask: Ask, words: Mapping[str, str]) -> str:
    return ask("fdb/flush", words["bridge"])


ACTIONS: Final[dict[str, tuple[tuple[str, ...], Callable[[Ask, Mapping[str, str]], str]]]] = {
    "port": (("bridge", "port", "state"), _port),
    "delete-flow": (("bridge", "flow"), _flow),
    "flush-fdb": (("bridge",), _flush),
}
"""Action -> the words that it needs, and what carries it out."""


def carry_out(ask: Ask, words: Any) -> str:
    """Do what `words` ({"action": NAME, word: text...}) says. QueryError, and what the tools raise."""
    if not isinstance(words, dict) or not all(isinstance(w, str) for w in words.values()):
        raise QueryError("an object of texts is wanted")
    if words.get("action") not in ACTIONS:
        raise QueryError(f"action {words.get('action')}: one of {', '.join(ACTIONS)} is wanted")
    needed, fn = ACTIONS[words["action"]]
    if missing := [word for word in needed if not words.get(word)]:
        raise QueryError(f"{words['action']} needs {', '.join(missing)}")
    if "/" in words["bridge"] or ":" in words["bridge"]:
        raise QueryError(f"{words['bridge']}: no such bridge")
    return fn(ask, words)
