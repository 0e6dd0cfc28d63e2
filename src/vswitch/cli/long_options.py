"""A command line taken apart as GNU `getopt_long` does it, with its words for what is wrong.

Scripts that start a daemon lean on all of it: long options may be cut short while they stay
unambiguous, options and other arguments may come in any order, "--" ends the options, and short
options may share a word.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from vswitch.base.records import dataclass, field


class Takes(enum.Enum):
    """Whether an option has an argument."""

    NOTHING = 0
    REQUIRED = 1
    OPTIONAL = 2
    """Only in the same word: "--pidfile=F", "-vSPEC"."""


class OptionError(Exception):
    """The command line is wrong; the text says how, in getopt's words."""


@dataclass
class Parsed:
    """What `parse` found: options in their order (long names; None without argument), and the rest."""

    options: list[tuple[str, str | None]] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)


def parse(
    args: Sequence[str], long: Mapping[str, Takes], short: Mapping[str, str], abbreviations: bool = True
) -> Parsed:
    """Take `args` apart. `long` has the long options without "--" (their order is that in which
    ambiguous ones are listed), `short` the long name that each letter stands for. OptionError."""
    parsed = Parsed()
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.arguments += rest
            break
        if word.startswith("--"):
            _long(word, rest, long, parsed, abbreviations)
        elif word.startswith("-") and word != "-":
            _short(word[1:], rest, long, short, parsed)
        else:
            parsed.arguments.append(word)
    return parsed


def _long(
    word: str, rest: list[str], long: Mapping[str, Takes], parsed: Parsed, abbreviations: bool
) -> None:
    given, equals, value = word[2:].partition("=")
    name = given
    if given not in long:
        fits = [known for known in long if abbreviations and known.startswith(given)]
        if not fits:
            raise OptionError(f"unrecognized option '{word}'")
        if len(fits) > 1:
            choice = " ".join(f"'--{known}'" for known in fits)
            raise OptionError(f"option '{word}' is ambiguous; possibilities: {choice}")
        name = fits[0]
    takes = long[name]
    if equals:
        if takes is Takes.NOTHING:
            raise OptionError(f"option '--{name}' doesn't allow an argument")
        parsed.options.append((name, value))
    elif takes is Takes.REQUIRED:
        if not rest:
            raise OptionError(f"option '--{name}' requires an argument")
        parsed.options.append((name, rest.pop(0)))
    else:
        parsed.options.append((name, None))


def _short(
    letters: str, rest: list[str], long: Mapping[str, Takes], short: Mapping[str, str], parsed: Parsed
) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = short.get(letter)
        if name is None:
            raise OptionError(f"invalid option -- '{letter}'")
        takes = long[name]
        if takes is Takes.NOTHING:
            parsed.options.append((name, None))
            continue
        if letters or takes is Takes.OPTIONAL:
            parsed.options.append((name, letters or None))
        elif rest:
            parsed.options.append((name, rest.pop(0)))
        else:
            raise OptionError(f"option requires an argument -- '{letter}'")
        return
