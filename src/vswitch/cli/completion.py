"""`vswitch completion`: text for a shell that completes vswitch's command lines.

The words are the commands that there are; the names of bridges and ports are asked of the switch
while one types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


def _words(subcommands: Sequence[str]) -> dict[str, list[str]]:
    from vswitch.cli.ofctl.main import COMMANDS as OFCTL
    from vswitch.cli.vsctl.commands import COMMANDS as VSCTL

    return {
        "": sorted(subcommands),
        "vsctl": sorted(VSCTL),
        "ofctl": sorted([*OFCTL, "diff-flows"]),
    }


def script(shell: str, subcommands: Sequence[str]) -> str:
    """The text for `shell`."""
    words = _words(subcommands)
    if shell == "fish":
        return _fish(words)
    text = _BASH
    for name, known in words.items():
        text = text.replace(f"@{name or 'top'}@", " ".join(known))
    return (
        f"#compdef vswitch\nautoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text
    )


_BASH: Final = """\
_vswitch() {
    local word=${COMP_WORDS[COMP_CWORD]} sub=${COMP_WORDS[1]} words=
    if [ "$COMP_CWORD" = 1 ]; then
        words="@top@"
    else
        case $sub in
            vsctl) words="@vsctl@ $(vswitch vsctl --timeout=1 list-br 2>/dev/null)" ;;
            ofctl) words="@ofctl@ $(vswitch vsctl --timeout=1 list-br 2>/dev/null)" ;;
            appctl) words=$(vswitch appctl -T 1 list-commands 2>/dev/null | awk 'NR > 1 {print $1}') ;;
            trace) words=$(vswitch vsctl --timeout=1 list-br 2>/dev/null) ;;
            completion) words="bash zsh fish" ;;
            *) words=$(vswitch "$sub" --help 2>/dev/null | grep -o -e '--[a-z-]*') ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _vswitch vswitch
"""


def _fish(words: dict[str, list[str]]) -> str:
    lines = [f"complete -c vswitch -f -n __fish_use_subcommand -a '{' '.join(words[''])}'"]
    bridges = "(vswitch vsctl --timeout=1 list-br 2>/dev/null)"
    for tool in ("vsctl", "ofctl"):
        seen = f"__fish_seen_subcommand_from {tool}"
        lines.append(f"complete -c vswitch -f -n '{seen}' -a '{' '.join(words[tool])} {bridges}'")
    runtime = '(vswitch appctl -T 1 list-commands 2>/dev/null | awk "NR > 1 {print \\$1}")'
    lines.append(f"complete -c vswitch -f -n '__fish_seen_subcommand_from appctl' -a '{runtime}'")
    lines.append(f"complete -c vswitch -f -n '__fish_seen_subcommand_from trace' -a '{bridges}'")
    return "\n".join(lines) + "\n"
