"""What tests may ask of the machine, said once.

`require("root")` and its like skip a test with a sentence that names what is missing. Under
CI=true nothing may be missing: the test fails instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.whole import ALL

UML_KERNEL = "/usr/bin/linux.uml"
UML_MODULES = "/usr/lib/uml/modules"


def _root() -> str:
    return "" if os.geteuid() == 0 else "root"


def _command(name: str) -> str:
    return "" if shutil.which(name) else f"the command {name} (tools/setup installs it)"


def _uml() -> str:
    if not os.path.exists(UML_KERNEL) and not shutil.which("linux.uml"):
        return "user-mode Linux (Debian package user-mode-linux)"
    if not list(Path(UML_MODULES).glob("*/kernel/net/openvswitch/openvswitch.ko*")):
        return f"openvswitch.ko for user-mode Linux under {UML_MODULES}"
    return ""


def _netns() -> str:
    """Network namespaces: as root, or in a user namespace."""
    args = ["unshare", "-n", "true"] if os.geteuid() == 0 else ["unshare", "-Urn", "true"]
    try:
        ran = subprocess.run(args, capture_output=True, check=False)
    except OSError:
        return "the command unshare"
    return "" if ran.returncode == 0 else "permission to make network namespaces"


def _userns() -> str:
    """A user namespace with a network namespace in it, made without root's rights."""
    try:
        ran = subprocess.run(["unshare", "-Urn", "true"], capture_output=True, check=False)
    except OSError:
        return "the command unshare"
    return "" if ran.returncode == 0 else "permission to make user namespaces"


def _packet_socket() -> str:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as e:
        return f"packet sockets ({e.strerror})"
    return ""


def _ipv6() -> str:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as e:
        return f"an IPv6 loopback address ({e.strerror})"
    return ""


def _openvswitch() -> str:
    """The openvswitch module in the kernel that runs now."""
    return "" if os.path.isdir("/sys/module/openvswitch") else "the openvswitch module in the running kernel"


def _tun() -> str:
    return "" if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "access to /dev/net/tun"


def _compiled() -> str:
    from vswitch.cli.version import compiled_modules

    return "" if compiled_modules() else "a compiled build of vswitch (make setup makes one)"


def _ebpf() -> str:
    """What the eBPF datapath needs of the kernel and of this process."""
    from vswitch.dpif.ebpf.usable import why_not

    return why_not()


CHECKS: dict[str, Callable[[], str]] = {
    "root": _root,
    "uml": _uml,
    "netns": _netns,
    "userns": _userns,
    "packet-socket": _packet_socket,
    "ipv6": _ipv6,
    "openvswitch": _openvswitch,
    "tun": _tun,
    "compiled": _compiled,
    "ebpf": _ebpf,
}

_known: dict[str, str] = {}


def missing(what: str) -> str:
    """What the machine lacks of `what`, as words; "" if it is there."""
    if what not in _known:
        kind, _, name = what.partition(":")
        _known[what] = _command(name) if kind == "command" else CHECKS[what]()
    return _known[what]


@pytest.fixture(scope="session")
def require() -> Callable[..., None]:
    """`require("root", "command:ovs-ofctl", "uml")`: go on only with all of these there."""

    def check(*wanted: str) -> None:
        lacks = [m for m in map(missing, wanted) if m]
        if not lacks:
            return
        text = f"this machine lacks {' and '.join(lacks)}"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)

    return check


REAL_TIME = ("daemon", "vconn")
"""Directories whose tests wait for sockets, processes and the clock."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with real peers, kernels, traffic or time get a second try, for what else the machine does may be
    in their way; the summary says which needed it ("RERUN"). A test that fails twice has failed."""
    if not ALL:
        left_out = [item for item in items if item.get_closest_marker("whole") is not None]
        items[:] = [item for item in items if item.get_closest_marker("whole") is None]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
    for item in items:
        if item.get_closest_marker("system") is not None or item.path.parent.name in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_report_header(config: pytest.Config) -> str:
    import vswitch

    return f"vswitch: {os.path.dirname(vswitch.__file__ or '')}"
