"""`Program`: instructions loaded into the kernel, or the verifier's log and where it points.

`run` is BPF_PROG_TEST_RUN: the program on one packet, with what it returned and made of the packet.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from vswitch.base.records import dataclass
from vswitch.ebpf.asm import Asm, encode
from vswitch.ebpf.btf import BtfBuilder
from vswitch.ebpf.insn import Insn
from vswitch.ebpf.syscall import PROG_LOAD, PROG_TEST_RUN, BpfError, Buffer, bpf, close_fd, info

SCHED_CLS: Final = 3
XDP: Final = 6
ANY_ALIGNMENT: Final = 2
"""BPF_F_ANY_ALIGNMENT: load words from anywhere, also where the machine would rather not."""
LOG_SIZE: Final = 1 << 24
LOG_TAIL: Final = 30
"""Lines of the verifier's log that an error carries."""
SKB_SIZE: Final = 192
"""`struct __sk_buff`, as far as BPF_PROG_TEST_RUN takes it."""
SKB_FIELDS: Final = {
    "len": 0, "mark": 8, "queue_mapping": 12, "protocol": 16, "vlan_present": 20, "vlan_tci": 24,
    "vlan_proto": 28, "priority": 32, "ingress_ifindex": 36, "ifindex": 40, "cb0": 48, "cb1": 52,
    "cb2": 56, "cb3": 60, "cb4": 64, "hash": 68, "data": 76, "data_end": 80, "wire_len": 160,
    "gso_segs": 164, "gso_size": 176,
}  # fmt: skip
"""Offsets in `struct __sk_buff` (<linux/bpf.h>)."""
FUNC_INFO: Final = struct.Struct("=II")
"""Where a function begins, and what of the BTF it is."""
RUN_LIVE_FRAMES: Final = 2
"""BPF_F_TEST_XDP_LIVE_FRAMES."""


class VerifierError(BpfError):
    """A program that the kernel refuses. `at` is the number of the instruction that the log ends at, -1
    if it names none; the text has the last of the log and that instruction."""

    def __init__(self, errno: int, name: str, log: str, insns: list[Insn], asm: Asm | None) -> None:
        at = -1
        for line in log.splitlines():
            found = re.match(r"(\d+): \(", line)
            if found:
                at = int(found[1])
        said = "\n".join(log.splitlines()[-LOG_TAIL:])
        where = f"instruction {at}: {insns[at].text()}" if 0 <= at < len(insns) else ""
        if where and asm is not None:
            below = [(n, label) for label, n in asm.labels.items() if n <= at]
            if below:
                where += f", behind label {max(below)[1]}"
        super().__init__(errno, f"loading program {name}", f"{said}\n{where}" if where else said)
        self.at = at


@dataclass(frozen=True)
class Ran:
    """What BPF_PROG_TEST_RUN gave: `result`, the packet after it, ns a run, the `struct __sk_buff`."""

    result: int
    packet: bytes
    ns: int
    skb: bytes = b""

    def field(self, name: str) -> int:
        """A field of the `struct __sk_buff`."""
        return int(struct.unpack_from("=I", self.skb, SKB_FIELDS[name])[0])


def skb(**fields: int) -> bytes:
    """A `struct __sk_buff` for `Program.run`, by `SKB_FIELDS`."""
    out = bytearray(SKB_SIZE)
    for name, value in fields.items():
        struct.pack_into("=I", out, SKB_FIELDS[name], value)
    return bytes(out)


def _describe_functions(asm: Asm | None) -> tuple[int, Buffer]:
    """A descriptor of the program's BTF (-1: it needs none) and its `struct bpf_func_info`s. BpfError."""
    if asm is None or not asm.functions:
        return -1, Buffer(0)
    btf = BtfBuilder()
    labels = sorted({asm.labels[label] for _at, label in asm.functions})
    info = [FUNC_INFO.pack(at, btf.function(f"f{at}")) for at in (0, *labels)]
    return btf.load(), Buffer(0, b"".join(info))


class Program:
    """A loaded program; `fd` is its descriptor."""

    def __init__(self, code: Asm | list[Insn], name: str, type: int = SCHED_CLS, flags: int = 0) -> None:
        """Load `code`. VerifierError; BpfError for what is no matter of the code (EPERM)."""
        asm = code if isinstance(code, Asm) else None
        insns = code.finish() if isinstance(code, Asm) else code
        self.name = name
        self.n_insns = len(insns)
        self._code = Buffer(0, encode(insns))
        self._license = Buffer(0, b"GPL\0")
        # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags,
        # prog_name, prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size, func_info,
        # func_info_cnt
        attr = Buffer(128)
        fields = struct.Struct("=IIQQIIQII16sIIIIQI")
        btf_fd, functions = _describe_functions(asm)
        n_functions = functions.size // FUNC_INFO.size

        def load(log: Buffer | None) -> int:
            level, size, where = (1, log.size, log.address) if log is not None else (0, 0, 0)
            fields.pack_into(attr.view, 0, type, len(insns), self._code.address, self._license.address, level,
                             size, where, 0, flags, name.encode()[:15], 0, 0, max(btf_fd, 0),
                             FUNC_INFO.size if n_functions else 0, functions.address if n_functions else 0,
                             n_functions)
            return bpf(PROG_LOAD, attr, f"loading program {name}")

        try:
            self.fd = load(None)
        except BpfError as e:
            if e.errno not in (1, 7, 13, 14, 22, 28):
                raise
            log = Buffer(LOG_SIZE)
            try:
                self.fd = load(log)
            except BpfError as again:
                said = log.text()
                if not said:
                    raise e from None
                raise VerifierError(again.errno or 22, name, said, insns, asm) from None
        finally:
            close_fd(btf_fd)

    def verified(self) -> int:
        """How many instructions the verifier walked through; 0 where the kernel doesn't say."""
        return int(struct.unpack_from("=I", info(self.fd, 256), 216)[0])

    def run(self, packet: bytes, skb: bytes = b"", repeat: int = 1, flags: int = 0, batch: int = 0) -> Ran:
        """Run it on `packet`, with the `struct __sk_buff` (or an XDP program's context) `skb`.

        BpfError: EINVAL for a packet shorter than an Ethernet header.
        """
        live = bool(flags & RUN_LIVE_FRAMES)
        data = Buffer(0, packet)
        out = Buffer(len(packet) + 1024)
        given = Buffer(0, skb) if skb else None
        got = Buffer(len(skb)) if skb and not live else None
        # prog_fd, retval, data_size_in, data_size_out, data_in, data_out, repeat, duration, ctx_size_in,
        # ctx_size_out, ctx_in, ctx_out, flags, cpu, batch_size
        attr = Buffer(80)
        struct.pack_into(
            "=IIIIQQIIIIQQIII", attr.view, 0, self.fd, 0, len(packet), 0 if live else out.size, data.address,
            0 if live else out.address, repeat, 0, len(skb), got.size if got else 0,
            given.address if given else 0, got.address if got else 0, flags, 0, batch,
        )  # fmt: skip
        bpf(PROG_TEST_RUN, attr, f"running program {self.name}")
        (result,) = struct.unpack_from("=I", attr.view, 4)
        (size,) = struct.unpack_from("=I", attr.view, 12)
        (ns,) = struct.unpack_from("=I", attr.view, 36)
        return Ran(result, b"" if live else bytes(out.view[:size]), ns, got.raw() if got else b"")

    def close(self) -> None:
        """Let go of it; it stays as long as it is attached. Idempotent."""
        close_fd(self.fd)
        self.fd = -1
