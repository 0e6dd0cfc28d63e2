"""OVN over the eBPF datapath: all reach whom they should, by the same flows as on the userspace one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ovn.conftest import NEEDS
from tests.ovn.deployment import Deployment
from tests.ovn.seen import Seen, look
from tests.ovn.test_real import alike
from tests.ovn.trials import bulk

pytestmark = [pytest.mark.system, pytest.mark.whole]


def test_all_is_as_on_the_userspace_datapath(
    seen: Seen, require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    require(*NEEDS, "ebpf")
    deployment = Deployment(tmp_path_factory.mktemp("ebpf"), datapath="ebpf")
    try:
        deployment.start()
        alike(look(deployment), seen)
        paths = [chassis.appctl("dpctl/show") for chassis in deployment.chassis]
        assert all("ebpf@ovs-ebpf" in text for text in paths)
        assert any("kernel cache:0" not in text for text in paths)
        assert bulk(deployment, "vm1", "vm2", "10.1.0.2", 2) > 0.002
    finally:
        deployment.close()
