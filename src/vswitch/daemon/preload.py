"""Imports what is otherwise imported when it is first needed.

A process that is about to become another user does so beforehand: that user may not be able to read
the modules.
"""

from __future__ import annotations

from vswitch.daemon import vswitchd
from vswitch.dpif import dpctl_commands
from vswitch.dpif.ebpf import dpif_class as ebpf
from vswitch.dpif.kernel import dpif_class as kernel
from vswitch.dpif.userspace import dpif_class as userspace
from vswitch.ofproto_dpif.commands import commands, trace
from vswitch.openflow import print as ofp_print
from vswitch.vconn import tls_stream

MODULES = (commands, dpctl_commands, ebpf, kernel, ofp_print, tls_stream, trace, userspace, vswitchd)
