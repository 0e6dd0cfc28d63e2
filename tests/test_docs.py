"""README.md and ARCHITECTURE.md say what is so: their examples run, their names are there."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sandbox import Sandbox, wait_until

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
PACKAGE = ROOT / "src" / "vswitch"


def block(language: str, with_word: str) -> str:
    """The README's code block of `language` that has `with_word` in it."""
    (found,) = [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if with_word in b]
    return str(found)


def environment(**more: str) -> dict[str, str]:
    """This process's environment, good in any directory, and `more`."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in paths if p), **more}


# README.


def test_the_unit_test_of_the_readme_runs(tmp_path: Path) -> None:
    example = block("python", "from vswitch import Switch")
    (tmp_path / "test_web.py").write_text(example)
    (command,) = re.findall(r"^\$ \.venv/bin/python (.*)$", block("console", "test_web.py"), re.MULTILINE)
    ran = subprocess.run(
        [sys.executable, *shlex.split(command), "-p", "no:cacheprovider"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    assert len([line for line in example.splitlines() if line]) <= 10


def test_the_unit_test_of_the_readme_can_fail(tmp_path: Path) -> None:
    example = block("python", "from vswitch import Switch").replace("tp_dst=80,actions", "tp_dst=81,actions")
    (tmp_path / "test_web.py").write_text(example)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "test_web.py", "-p", "no:cacheprovider"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "1 failed" in ran.stdout


def commands(with_word: str) -> list[str]:
    """The commands of the README's console block that has `with_word` in it."""
    return [line[2:] for line in block("console", with_word).splitlines() if line.startswith("# ")]


def run_as_shown(lines: list[str], tmp_path: Path) -> str:
    """What "Run it" prints with `lines` between hosts and their end, in a network namespace and with a run
    directory of its own. AssertionError: a command fails, or a device is left."""
    # `ip netns` keeps its names in /run/netns: they get a /run of their own as well.
    box = Sandbox()
    names = tmp_path / "netns"
    names.mkdir()
    own = {f"OVS_{name}": str(tmp_path) for name in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR")}
    shell = subprocess.Popen(
        ["unshare", "-m", *box.command("bash", "-e")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(**own), start_new_session=True,
    )  # fmt: skip
    command = shlex.join([sys.executable, "-m", "vswitch"])
    script = [f"mkdir -p /run/netns; mount --bind {names} /run/netns"]
    for line in (*commands("ip netns add red"), *lines, *commands("ip netns del red")):
        script.append(f"echo 'README: {line}'")
        script.append(line.replace(".venv/bin/vswitch", command).replace("kill %1", "kill $!; wait $!"))
        if line.endswith("&"):
            there = "ovs-appctl -t vswitchd fdb/show br0 >/dev/null 2>&1"
            script.append(f"for i in $(seq 200); do {there} && break; sleep 0.1; done")
    try:
        said, _ = shell.communicate("\n".join(script) + "\nip -br link\n", timeout=90)
    finally:
        box.close()
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, said
    left = said.rpartition("README: ")[2].partition("\n")[2]
    assert "red0" not in left
    assert "br0" not in left
    assert " 0% packet loss" in said
    return said


@pytest.mark.system
def test_the_switch_of_the_readme_runs_by_itself(tmp_path: Path, require: Callable[..., None]) -> None:
    require("root", "netns", "tun", "command:ping")
    said = run_as_shown(commands("vswitch status"), tmp_path)
    assert "actions=NORMAL" in said
    assert "Datapath actions:" in said


@pytest.mark.system
def test_the_switch_of_the_readme_runs_with_the_real_tools(
    tmp_path: Path, require: Callable[..., None]
) -> None:
    require("root", "netns", "tun", "command:ovs-vsctl", "command:ovs-appctl", "command:ovs-ofctl")
    said = run_as_shown(commands("ovs-vsctl add-br"), tmp_path)
    assert "OFPT_FEATURES_REPLY" in said
    assert "in_port(red0)" in said
    assert "port  VLAN  MAC" in said


@pytest.mark.system
def test_the_switch_of_the_readme_runs_in_the_foreground(
    tmp_path: Path, require: Callable[..., None]
) -> None:
    require("root", "netns", "tun", "command:ovs-appctl", "command:ping")
    said = run_as_shown(commands("vswitch run"), tmp_path)
    assert "in_port(red0)" in said
    assert "Datapath actions:" in said
    assert "port  VLAN  MAC" in said
    assert re.search(r"\|vswitchd\|INFO\|using the (kernel|eBPF|userspace) datapath \(\w+\): \w+", said), said
    assert wait_until(lambda: not list(tmp_path.glob("vswitchd.*")))


def test_the_options_and_targets_that_the_readme_names_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    helped = subprocess.run(
        [sys.executable, "-m", "vswitch", "run", "--help"],
        capture_output=True, text=True, check=True, env=environment(COLUMNS="200", NO_COLOR="1"),
    ).stdout  # fmt: skip
    for option in set(re.findall(r"`(--[a-z-]+)", README)):
        assert option in helped, option
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


# ARCHITECTURE.


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below `heading`, without its first two lines."""
    part = ARCHITECTURE.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


SEED = rows("The seed, name by name")
SEED_NAMES = re.findall(r"\S+", """
construct dpif_create_and_open dpif_get_max_ports ofproto_init_max_ports dpif_flow_flush dpif_recv_purge
dpif_recv_set log_operation netflow sflow stp bundles has_bonded_bundles has_bundle_action
mac_learning_create MAC_ENTRY_DEFAULT_IDLE_TIME MAX_MIRRORS has_mirrors timer_set_duration
next_expiration facets subfacets governor catchall_table other_table basis need_revalidate
revalidate_set completions ofproto/clog ofproto/unclog ofproto_dpif_unixctl_init vlandev_map
realdev_vid_map all_ofproto_dpifs stats ofproto_init_tables N_TABLES add_internal_flows TBL_INTERNAL
dpif_linux_recv_set N_CHANNELS epoll_ctl sketches SCALE_INTERVAL last_poll ready_mask next_scale
set_upcall_pids
""")


def files(cell: str) -> list[Path]:
    """The source files that a cell of the table names; one without a directory is in that of the one
    before."""
    found: list[Path] = []
    for name in re.findall(r"`([\w/]+\.py)`", cell):
        path = PACKAGE / name
        if "/" not in name and found:
            path = found[-1].parent / name
        found.append(path)
    return found


def test_every_name_of_the_seed_is_in_the_table() -> None:
    named = {word for row in SEED for word in re.findall(r"[\w/]+", row[0])}
    assert [name for name in SEED_NAMES if name not in named] == []


CLASSES = {
    name: path
    for path in PACKAGE.rglob("*.py")
    for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("row", SEED, ids=lambda row: row[0].split("`")[1])
def test_a_name_of_the_seed_is_where_the_table_says(row: list[str]) -> None:
    """What stands in backquotes in the last column: a name is in one of the row's files, an
    attribute in that of its class."""
    paths = files(row[1] + row[2])
    assert paths
    for name in re.findall(r"`([\w.]+)(?:\([^`]*\))?`", row[2]):
        owner, dot, attribute = name.partition(".")
        if attribute == "py":
            continue
        where = [CLASSES[owner]] if dot else paths
        text = "".join(path.read_text() for path in where)
        assert re.search(rf"\b{attribute or owner}\b", text), f"{name} is not in {where}"


def test_every_file_that_the_page_names_is_there() -> None:
    folders = ("src/**", "tests/**", "bench", "packaging", ".")
    known = [f"/{path.relative_to(ROOT)}" for folder in folders for path in ROOT.glob(f"{folder}/*.py")]
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", ARCHITECTURE):
        assert any(path.endswith(f"/{name}") for path in known), name


def test_every_file_is_on_the_page() -> None:
    """By its name, the module's name before a dot, or the folder that it is in."""
    quoted = re.findall(r"`([^`]+)`", ARCHITECTURE)
    names = {name for text in quoted for name in re.findall(r"(?:\w+/)*\w+\.py\b", text)}
    names |= {f"{module}.py" for text in quoted for module in re.findall(r"^(\w+)\.[A-Za-z_]", text)}
    topics = {f"{start}" for start in re.findall(r"`((?:\w+/)*\w+_)\*\.py`", ARCHITECTURE)}
    folders = {name for name in quoted if re.fullmatch(r"(?:\w+/)+", name) and name != "src/vswitch/"}
    nowhere = []
    for path in sorted(PACKAGE.rglob("*.py")):
        file = f"/{path.relative_to(PACKAGE)}"
        place = file.rpartition("/")[0] + "/"
        if path.stem in ("__init__", "__main__"):
            continue
        if not (
            any(file.endswith(f"/{name}") for name in names)
            or any(f"/{start}" in file for start in topics)
            or any(place.endswith(f"/{folder}") for folder in folders)
        ):
            nowhere.append(file)
    assert not nowhere, "\n".join(nowhere)


ATTRIBUTES = [
    ("vswitch.dpif.kernel.channels", "N_CHANNELS", 17),
    ("vswitch.dpif.kernel.channels", "N_SKETCHES", 8),
    ("vswitch.dpif.kernel.channels", "SCALE_INTERVAL", 60_000),
    ("vswitch.dpif.provider", "RECV_BATCH", 50),
    ("vswitch.dpif.provider", "MAX_OPS", 50),
    ("vswitch.ofproto.tables", "N_TABLES", 255),
    ("vswitch.ofproto.tables", "TBL_INTERNAL", 254),
    ("vswitch.ofproto_dpif.xlate.bridge", "MAX_MIRRORS", 32),
    ("vswitch.l2.mac_learning", "MAC_ENTRY_DEFAULT_IDLE_TIME", 300),
    ("vswitch.ofproto_dpif.facets.expiration", "EXPIRATION_MS", 1000),
]


@pytest.mark.parametrize(("module", "name", "value"), ATTRIBUTES)
def test_the_seeds_numbers(module: str, name: str, value: Any) -> None:
    assert getattr(importlib.import_module(module), name) == value
