"""A trace's text (`ofproto/trace`) as steps: which bridge, which table, which rule, what was done."""

from __future__ import annotations

import re
from typing import Any, Final

_BRIDGE: Final = re.compile(r'bridge\("(.*)"\)$')
_RULE: Final = re.compile(r"( *)(\d+)\. (.*)$")
_NAMED: Final = re.compile(r"(Flow|Final flow|Megaflow|Datapath actions): (.*)$")


def steps(text: str) -> dict[str, Any]:
    """{"flow", "final", "megaflow", "actions", "steps"}; a step has "kind" (bridge, rule, action, resume),
    "depth" (how far in), "text", and of a rule "table"."""
    found: dict[str, Any] = {"flow": "", "final": "", "megaflow": "", "actions": "", "steps": []}
    keys = {"Flow": "flow", "Final flow": "final", "Megaflow": "megaflow", "Datapath actions": "actions"}
    walk: list[dict[str, Any]] = found["steps"]
    for line in text.splitlines():
        if not line.strip() or set(line.strip()) <= {"-", "="}:
            continue
        depth = (len(line) - len(line.lstrip())) // 4
        if m := _NAMED.match(line):
            if m[1] != "Flow" or not found["flow"]:
                found[keys[m[1]]] = m[2]
        elif m := _BRIDGE.match(line.strip()):
            walk.append({"kind": "bridge", "depth": depth, "text": m[1]})
        elif m := _RULE.match(line):
            walk.append({"kind": "rule", "depth": len(m[1]) // 4, "table": int(m[2]), "text": m[3]})
        elif line.startswith(("recirc(", "Resuming", "    Resuming")):
            walk.append({"kind": "resume", "depth": 0, "text": line.strip()})
        elif walk:
            walk.append({"kind": "action", "depth": depth, "text": line.strip()})
    return found
