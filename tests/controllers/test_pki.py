"""Keys and certificates that `ovs-pki` makes are taken by the real switch and ours alike: ovs-ofctl is let in
with one of the controllers' and not with a switch's."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ofctl.conftest import switches
from tests.oracle.real import RealSwitch
from tests.stack import until
from tests.trials.trial import Bench

__all__ = ["switches"]
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def pki(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the two authorities in `pki`, and what they signed: "sc" is a switch, "ctl" a
    controller."""
    require("command:ovs-pki", "command:openssl")
    place = tmp_path_factory.mktemp("pki")

    def run(*words: str) -> None:
        subprocess.run(["ovs-pki", f"--dir={place}/pki", f"--log={place}/log", *words], cwd=place, check=True,
                       capture_output=True, timeout=120)  # fmt: skip

    run("init")
    run("req+sign", "sc", "switch")
    run("req+sign", "ctl", "controller")
    return place


def test_keys_of_ovs_pki(pki: Path, switches: tuple[RealSwitch, RealSwitch]) -> None:
    def tried(switch: RealSwitch) -> tuple[str, bool]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        bench = Bench(switch)
        bench.prepare()
        switch.run("ovs-vsctl", "set-ssl", f"{pki}/sc-privkey.pem", f"{pki}/sc-cert.pem",
                   f"{pki}/pki/controllerca/cacert.pem")  # fmt: skip
        switch.run("ovs-vsctl", "set-controller", "sw", f"pssl:{port}:127.0.0.1")

        def answer(who: str) -> str:
            keys = ("-p", f"{pki}/{who}-privkey.pem", "-c", f"{pki}/{who}-cert.pem")
            authority = ("-C", f"{pki}/pki/switchca/cacert.pem")
            target = f"ssl:127.0.0.1:{port}"
            return bench.tool("ovs-ofctl", *keys, *authority, "dump-aggregate", target)

        try:
            until("the switch lets the controller in", lambda: "flow_count=0" in answer("ctl"))
            return answer("ctl"), "flow_count" in answer("sc")
        finally:
            switch.run("ovs-vsctl", "--", "del-controller", "sw", "--", "del-ssl")

    theirs, ours = (tried(switch) for switch in switches)
    assert ours == theirs
    assert not theirs[1]
