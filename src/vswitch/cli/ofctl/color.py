"""`--color`: flows as ovs-ofctl(8) shows them in colours, with OVS_COLORS for other ones.

The text is made without colours and painted line by line: what is a keyword, a field's name or an argument's
follows from its place. Some places look arbitrary (a comma in a colour, a name without its "="); they are
those of ovs-ofctl 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, final

from vswitch.flow.match_text import PROTOCOLS

DEFAULT: Final[Mapping[str, str]] = {
    "ac": "1;31", "dr": "34", "le": "31", "pm": "36", "pr": "35", "sp": "33", "vl": "32"
}  # fmt: skip
"""Capability of OVS_COLORS -> SGR parameters (ECMA-48, 8.3.117)."""

KEYWORDS: Final = frozenset(PROTOCOLS) | {"eth"}
"""Words that stand for a protocol."""
SPECIAL: Final = frozenset(("output", "load", "move", "group", "resubmit", "set_field"))
"""Actions "NAME:ARGUMENT" whose name is painted as special; others' is a parameter's."""
SPECIAL_WORDS: Final = frozenset(("exit", "dec_nsh_ttl"))
ARROWED: Final = frozenset(("load", "move", "set_field"))
NESTED: Final = frozenset(("clone", "write_actions"))
KEYED: Final = frozenset(("controller", "fin_timeout", "sample"))
"""Actions whose arguments have names."""
UNPAINTED: Final = re.compile(r"(packet_type|tun_metadata\d+)(=|$)")
"""Fields whose name has no colour in a match."""
OWN_WORDS: Final = frozenset((
    "event", "table", "cookie", "reason", "duration", "idle_timeout", "hard_timeout", "importance"
))  # fmt: skip
"""What stands beside the match in messages about flows, without a colour."""


def parts(text: str, separator: str = ",") -> list[str]:
    """`text` cut at `separator`, but for those in brackets and in quotes."""
    found, start, depth, quoted = [], 0, 0, False
    for at, c in enumerate(text):
        if quoted:
            quoted = c != '"' or text[at - 1] == "\\"
        elif c == '"':
            quoted = True
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == separator and depth <= 0:
            found.append(text[start:at])
            start = at + 1
    return [*found, text[start:]]


@final
class Painter:
    """Paints with the colours of `variable`, OVS_COLORS."""

    def __init__(self, variable: str = "") -> None:
        self.sgr = dict(DEFAULT)
        for capability in variable.split(":"):
            name, equals, value = capability.partition("=")
            if equals and name in self.sgr and re.fullmatch(r"[0-9;]+", value):
                self.sgr[name] = value

    def _in(self, capability: str, text: str) -> str:
        return f"\033[{self.sgr[capability]}m\033[K{text}\033[m\033[K"

    def paint(self, text: str) -> str:
        """The text of messages, painted where it tells of flows and actions."""
        return "".join(self._line(line) for line in text.splitlines(keepends=True))

    def _line(self, line: str) -> str:
        body = line.rstrip("\n")
        end = line[len(body) :]
        if ",bucket=" in body:
            buckets = body.split(",bucket=")
            return ",bucket=".join(self._with_actions(part, str, "actions=") for part in buckets) + end
        if body.startswith(" ") and not body.startswith(" event="):
            return self._with_actions(body, self._statistics, self._in("ac", "actions=")) + end
        if "FLOW_REMOVED" in body:
            return self._beside(body) + end
        return self._with_actions(body, self._beside, "actions=") + end

    def _with_actions(self, text: str, head: Callable[[str], str], label: str) -> str:
        """`text` with its actions painted, and what stands before them by `head`."""
        at = re.search(r"(?<![^ ,])actions=", text)
        if at is None:
            return text
        return head(text[: at.start()]) + label + self.actions(text[at.end() :])

    # Matches.

    def _statistics(self, head: str) -> str:
        """What stands before the actions in a line of flow statistics."""
        return "".join(
            word if n % 2 else self._field(word, "table") for n, word in enumerate(re.split(r"(, | )", head))
        )

    def _beside(self, head: str) -> str:
        """A match among other words."""
        sign = head[:1] if head[:1] in ("+", "-") else ""
        words = parts(head[len(sign) :], " ")
        return sign + " ".join(word if self._is_other(word) else self._field(word, "") for word in words)

    def _is_other(self, word: str) -> bool:
        first = parts(word)[0]
        name, equals, _ = first.partition("=")
        if name in OWN_WORDS or not re.fullmatch(r"[a-z][a-z_0-9]*", name):
            return True
        return not equals and name not in KEYWORDS

    def _field(self, match: str, special: str) -> str:
        """The parts of a match: `special` is a field that is as special as the priority."""
        painted = []
        for part in parts(match):
            name, equals, value = part.partition("=")
            if not equals:
                painted.append(self._in("vl", part) if part in KEYWORDS else part)
            elif name in ("priority", special):
                painted.append(self._in("sp", f"{name}=") + value)
            elif name == "conj_id":
                painted.append(f"{self._in('pm', name)}={value}")
            else:
                painted.append(part if UNPAINTED.match(part) else self._in("pm", f"{name}=") + value)
        return ",".join(painted)

    # Actions.

    def actions(self, text: str) -> str:
        """A list of actions."""
        return ",".join(self._action(part) for part in parts(text)) if text else ""

    def _action(self, text: str) -> str:
        at = re.match(r"([a-z_0-9]+)([:(]?)", text)
        if at is None:
            return text
        name, mark = at.groups()
        rest = text[at.end() :]
        if text == "drop":
            return self._in("dr", text)
        if mark == "(" and text.endswith(")"):
            return self._call(name, rest[:-1])
        if name == "check_pkt_larger":
            return self._in("pm", f"{name}(") + rest
        if mark == ":":
            painted = self._in("sp" if name in SPECIAL else "pm", f"{name}:")
            arrow = self._in("sp", "->") if name in ARROWED else "->"
            return painted + arrow.join(rest.rsplit("->", 1))
        if text == "dec_ttl":
            return self._in("pr", text)
        return self._in("sp" if text in SPECIAL_WORDS else "vl", text)

    def _call(self, name: str, inside: str) -> str:
        """An action with its arguments in brackets."""
        if name == "output":
            return f"{self._in('sp', name)}({inside})"
        if name == "learn":
            return self._in("le", "learn(") + self._learn(inside) + self._in("le", ")")
        if name == "dec_ttl":
            return self._in("pr", name) + self._in("pr", "(") + inside + self._in("pr", ")")
        paint: Callable[[str], str] = str
        if name in NESTED:
            paint = self.actions
        elif name in KEYED:
            paint = self._arguments
        elif name in ("bundle", "bundle_load"):
            paint = self._members
        elif name == "encap":
            paint = self._encap
        elif name == "ct":
            paint = self._ct
        return self._in("pr", f"{name}(") + paint(inside) + self._in("pr", ")")

    def _arguments(self, inside: str) -> str:
        """Arguments with names, and words among them."""
        painted = []
        for part in parts(inside):
            name, equals, value = part.partition("=")
            if equals:
                painted.append(self._in("pm", f"{name}=") + value)
            else:
                painted.append(self._in("vl" if part == "pause" else "pm", part))
        return ",".join(painted)

    def _members(self, inside: str) -> str:
        return inside.replace("members:", self._in("pm", "members:"), 1)

    def _encap(self, inside: str) -> str:
        header, bracket, properties = inside.partition("(")
        if not bracket:
            return inside
        return header + self._in("pr", "(") + properties[:-1] + self._in("pr", ")")

    def _ct(self, inside: str) -> str:
        text = ""
        for n, part in enumerate(parts(inside) if inside else []):
            name, mark, value = re.match(r"(\w*)([=(]?)(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
            comma = "," if n and not text.endswith("\0") else ""
            text = text.removesuffix("\0") + comma
            if not part:
                continue
            if name == "nat":
                text += self._in("pr", "nat") + (self._nat(value[:-1]) if mark else "")
            elif name == "exec":
                # The comma behind it is painted with the bracket.
                text += self._in("pr", "exec(") + self.actions(value[:-1]) + self._in("pr", "),") + "\0"
            elif mark:
                text += self._in("sp" if name == "table" else "pm", f"{name}=") + value
            else:
                text += self._in("vl", part)
        return text.removesuffix("\0")

    def _nat(self, inside: str) -> str:
        painted = []
        for part in parts(inside):
            name, equals, value = part.partition("=")
            if name in ("src", "dst"):
                painted.append(self._in("pm", name) + (self._in("pm", "=") + value if equals else ""))
            else:
                painted.append(self._in("vl", part))
        return self._in("pr", "(") + ",".join(painted) + self._in("pr", ")")

    def _learn(self, inside: str) -> str:
        text = ""
        for n, part in enumerate(parts(inside)):
            comma = "," if n else ""
            name, equals, value = part.partition("=")
            if (":" in name and not equals) or re.match(r"(load|output):", part):
                text += comma + self._action(part)
            elif not equals:
                text += comma + self._in("pm" if "[" in part else "vl", part)
            elif name == "table":
                text += comma + self._in("sp", "table=") + value
            elif name == "priority":
                text += self._in("sp", f"{comma}priority=") + value
            elif name == "fin_hard_timeout":
                text += self._in("pm", f"{comma}{name}=") + value
            elif re.fullmatch(r"[A-Z_0-9]+\[.*\]", value) and name != "result_dst":
                text += comma + self._in("pm", name) + self._in("pm", "=") + value
            else:
                text += comma + self._in("pm", f"{name}=") + value
        return text


def wanted(when: str, terminal: bool, term: str) -> bool:
    """Whether `--color=WHEN` means colours for an output that is a `terminal` of kind `term`, or not."""
    return when == "always" or (when in ("", "auto") and terminal and term not in ("", "dumb"))
