"""The real switch, started once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.oracle.real import RealSwitch


@pytest.fixture(scope="session")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSwitch]:
    """The real ovs-vswitchd with an empty database."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    switch = RealSwitch(tmp_path_factory.mktemp("ovs"))
    try:
        switch.start()
        yield switch
    finally:
        switch.close()
