"""The real switch with one bridge, whose management socket takes every version."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.oracle.real import RealSwitch

PROTOCOLS = "[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]"
DATAPATH_ID = 0x123


@pytest.fixture(scope="module")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSwitch]:
    """The real ovs-vswitchd with bridge br0 of three dummy ports."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    switch = RealSwitch(tmp_path_factory.mktemp("ovs"))
    try:
        switch.start()
        switch.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
            "fail-mode=secure", f"protocols={PROTOCOLS}", f"other-config:datapath-id={DATAPATH_ID:016x}",
        )  # fmt: skip
        for i in (1, 2, 3):
            switch.run(
                "ovs-vsctl", "add-port", "br0", f"p{i}", "--",
                "set", "interface", f"p{i}", "type=dummy", f"ofport_request={i}",
            )  # fmt: skip
        yield switch
    finally:
        switch.close()
