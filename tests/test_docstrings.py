"""Names that docstrings give in backquotes are names of this code, of Python or of the sources they cite."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "vswitch"
NAME = re.compile(r"`([A-Za-z_][\w.]*(?:\(\))?)`")
PATH = re.compile(r"`([\w/]+\.py)`")

ELSEWHERE = frozenset((
    # Linux and its C library.
    "OVS_ACTION_ATTR_DROP", "VIRTIO_NET_HDR_F_DATA_VALID", "VIRTIO_NET_HDR_F_NEEDS_CSUM", "getopt_long",
    "ovs_dp_megaflow_stats", "ovs_dp_stats", "pgrep", "ps", "sockaddr_ll", "virtio_net_hdr",
    # OpenFlow and Open vSwitch.
    "OFP_DL_TYPE_NOT_ETH_TYPE", "dpif_linux_recv_set", "odp_key_fitness",
))  # fmt: skip
"""Names that belong to somebody else, each as its documentation writes it."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def defined(tree: ast.AST) -> Iterator[str]:
    """The names that a module binds, at any depth, and the words of its strings that could be names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield from (node.asname or node.name).split(".")
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg


def strings(tree: ast.AST, docstrings: set[int]) -> Iterator[str]:
    """The words of a module's strings that aren't docstrings: commands, columns, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from re.findall(r"[A-Za-z_]\w*", node.value)


def documented(tree: ast.AST) -> Iterator[ast.Constant]:
    """The strings that stand by themselves: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield node.value


@cache
def known() -> frozenset[str]:
    names = set(dir(builtins)) | set(sys.stdlib_module_names) | ELSEWHERE
    for path in modules():
        tree = tree_of(path)
        names |= set(defined(tree)) | set(path.relative_to(SOURCE).with_suffix("").parts)
        names |= set(strings(tree, {id(node) for node in documented(tree)}))
    return frozenset(names)


@cache
def owners() -> dict[str, frozenset[str]]:
    """Class or module -> the names in it, those of its bases too."""
    inside: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path in modules():
        module = path.parent.name if path.stem == "__init__" else path.stem
        inside.setdefault(module, set()).update(defined(tree_of(path)))
        if path.stem == "__init__":
            inside[module] |= {other.stem for other in path.parent.iterdir()}
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                inside.setdefault(node.name, set()).update(defined(node))
                bases.setdefault(node.name, set()).update(ast.unparse(base) for base in node.bases)

    def everything(name: str) -> set[str]:
        names = inside.get(name, set())
        foreign = any(base.split("[")[0] not in {*inside, "ABC", "Protocol"} for base in bases.get(name, ()))
        for base in bases.get(name, ()):
            names = names | everything(base.split("[")[0])
        return names | (known() if foreign else set())

    return {name: frozenset(everything(name)) for name in inside}


def resolves(name: str, here: set[str]) -> bool:
    """Whether `name`, perhaps with dots, is one of this code's, of Python's or of `ELSEWHERE`. What is bound
    `here` may be anything."""
    parts = name.removesuffix("()").split(".")
    if not set(parts) <= known():
        return False
    return all(
        member in owners()[owner]
        for owner, member in pairwise(parts)
        if owner in owners() and (owner not in here or not owner.islower())
    )


@pytest.mark.parametrize("package", sorted({p.relative_to(SOURCE).parts[0] for p in modules()}))
def test_names_in_docstrings_resolve(package: str) -> None:
    wrong = []
    for path in modules():
        if path.relative_to(SOURCE).parts[0] != package:
            continue
        here = set(defined(tree_of(path)))
        for node in documented(tree_of(path)):
            text = str(node.value)
            for name in NAME.findall(text):
                if name.endswith(".py"):
                    continue
                if not resolves(name, here):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: `{name}`")
            for name in PATH.findall(text):
                places = (path.parent, SOURCE, ROOT, *SOURCE.iterdir())
                if not any((place / name).exists() for place in places):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: `{name}`")
    assert not wrong, "\n".join(wrong)


def test_names_that_are_not_there_are_found() -> None:
    assert resolves("Dpif.close", set())
    assert resolves("registry.netdev_open", set())
    assert not resolves("dpif_that_is_nowhere", set())
    assert not resolves("Dpif.netdev_open", set())
    assert not resolves("registry.close_at_once", {"registry"})
