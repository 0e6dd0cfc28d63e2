"""The same deployment over the real switch: same reachability, same `ovn-trace`, no other complaints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ovn.conftest import NEEDS
from tests.ovn.deployment import Deployment
from tests.ovn.seen import Seen, look
from tests.stack import OURS, REAL

pytestmark = pytest.mark.system

RACES = (
    "br-int.mgmt: connection failed (",
    "if_status|WARN|Trying to release unknown interface",
)
"""What ovn-controller says now and then over either switch: it has made br-int and asks for its socket at
once; a gateway goes where it belongs."""


@pytest.fixture(scope="module")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The real userspace datapath needs an underlay bridge."""
    require(*NEEDS)
    return seen_of(Deployment(tmp_path_factory.mktemp("real"), REAL, underlay=True))


def seen_of(deployment: Deployment) -> Seen:
    try:
        deployment.start()
        return look(deployment)
    finally:
        deployment.close()


def alike(ours: Seen, real: Seen) -> None:
    assert ours.reached == real.reached
    assert ours.flows == real.flows
    for case, text in real.traces.items():
        assert ours.traces[case] == text
    said = {line for lines in real.complaints.values() for line in lines}
    for chassis, lines in ours.complaints.items():
        new = [line for line in lines if line not in said and not any(race in line for race in RACES)]
        assert not new, chassis


def test_without_an_underlay_bridge_all_is_as_with_the_real_switch(seen: Seen, real: Seen) -> None:
    assert real.reached["vm1", "vm2"]
    assert not real.reached["vm1", "10.2.0.3:22"]
    assert "vm2" in real.traces["to the next machine"]
    alike(seen, real)


def test_with_an_underlay_bridge_too(real: Seen, tmp_path_factory: pytest.TempPathFactory) -> None:
    alike(seen_of(Deployment(tmp_path_factory.mktemp("ours"), OURS, underlay=True)), real)
