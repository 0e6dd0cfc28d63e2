"""What the tests of the eBPF datapath share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.dpif_ebpf.lab import EbpfLab, own_namespace
from tests.dpif_ebpf.pair import Pair


@pytest.fixture
def pair(require: Callable[..., None]) -> Iterator[Pair]:
    """Both datapaths, in a network namespace of their own."""
    require("root", "netns", "tun", "ebpf")
    with own_namespace():
        lab = EbpfLab()
        made = Pair(lab)
        try:
            yield made
        finally:
            made.close()
            lab.close()


@pytest.fixture
def lab(require: Callable[..., None]) -> Iterator[EbpfLab]:
    """The eBPF datapath's laboratory, in a network namespace of its own."""
    require("root", "netns", "tun", "ebpf")
    with own_namespace():
        lab = EbpfLab()
        try:
            yield lab
        finally:
            lab.close()
