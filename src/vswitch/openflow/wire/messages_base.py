"""What the message codecs are made of: rows of the table of messages, layouts of fixed structs, properties.

A `Row` says where a message class stands on the wire in some versions (its space and number) and how its
body is put and got. A `Layout` is a struct whose fields have the names of a class's attributes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Final

from vswitch.base.records import dataclass
from vswitch.flow.port_numbers import OFPP11_MAX, OFPP11_OFFSET
from vswitch.openflow.constants import OFPP_MAX
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.errors import NX_VENDOR_ID, ONF_VENDOR_ID
from vswitch.openflow.wire.version import OFP10, OFP15


class NotInVersion(ValueError):
    """A message that the version it should be encoded in can't say."""


class Space(enum.Enum):
    """Where a message's number counts."""

    OFPT = "OFPT"
    OFPST_REQUEST = "OFPST request"
    OFPST_REPLY = "OFPST reply"
    NXT = "NXT"
    NXST_REQUEST = "NXST request"
    NXST_REPLY = "NXST reply"
    ONFT = "ONFT"
    ONFST_REQUEST = "ONFST request"
    ONFST_REPLY = "ONFST reply"


VENDOR: Final = {
    Space.NXT: NX_VENDOR_ID,
    Space.NXST_REQUEST: NX_VENDOR_ID,
    Space.NXST_REPLY: NX_VENDOR_ID,
    Space.ONFT: ONF_VENDOR_ID,
    Space.ONFST_REQUEST: ONF_VENDOR_ID,
    Space.ONFST_REPLY: ONF_VENDOR_ID,
}
REQUESTS: Final = (Space.OFPST_REQUEST, Space.NXST_REQUEST, Space.ONFST_REQUEST)
REPLIES: Final = (Space.OFPST_REPLY, Space.NXST_REPLY, Space.ONFST_REPLY)


class Form(enum.IntEnum):
    """In which of its forms a message was written, where a version has several."""

    OPENFLOW = 0
    EXTENSION = 1
    """Nicira's or the ONF's."""
    EXTENSION2 = 2
    """Nicira's second: NXT_PACKET_IN2, NXT_SET_ASYNC_CONFIG2."""


Get = Callable[[Reader, int], Any]
Put = Callable[[Writer, Any, int], None]


@dataclass(frozen=True)
class Row:
    """One form of a message in versions `first` to `last`."""

    space: Space
    first: int
    last: int
    number: int
    cls: type
    get: Get
    put: Put
    form: Form = Form.OPENFLOW


def void(space: Space, first: int, last: int, number: int, cls: type, form: Form = Form.OPENFLOW) -> Row:
    """The row of a message without a body."""
    return Row(space, first, last, number, cls, lambda r, version: cls(), lambda w, m, version: None, form)


def plain(
    space: Space, first: int, last: int, number: int, cls: type, spec: str, form: Form = Form.OPENFLOW
) -> Row:
    """The row of a message whose body is one struct."""
    layout = Layout(spec)
    return Row(
        space,
        first,
        last,
        number,
        cls,
        lambda r, version: cls(**layout.get(r)),
        lambda w, m, version: layout.put(w, m),
        form,
    )


def port_to_32(port: int) -> int:
    """An OpenFlow 1.0 port number as 1.1 and later write it."""
    return port if port < OFPP_MAX else port | OFPP11_OFFSET


def port_from_32(port: int) -> int:
    """And back. OfpError OFPBAC_BAD_OUT_PORT: a number between ordinary and reserved ports."""
    if port < OFPP_MAX:
        return port
    if port >= OFPP11_MAX:
        return port & 0xFFFF
    raise OfpError("OFPBAC_BAD_OUT_PORT", f"port {port}")


def put_port(w: Writer, port: int, version: int) -> None:
    """A port number: 2 bytes in 1.0, 4 later."""
    if version == OFP10:
        w.u16(port)
    else:
        w.u32(port_to_32(port))


def get_port(r: Reader, version: int) -> int:
    """And back."""
    return int(r.u16()) if version == OFP10 else port_from_32(r.u32())


def put_text(w: Writer, text: str, size: int) -> None:
    """`text` in `size` bytes, the last of them 0."""
    data = text.encode("utf-8", "surrogateescape")[: size - 1]
    w.raw(data)
    w.pad(size - len(data))


def get_text(r: Reader, size: int) -> str:
    """And back: up to the first zero byte."""
    return r.raw(size).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class Layout:
    """A struct: words "name:KIND" or "padN"; KIND is u8, u16, u32, u64, mac, port16, port32 or sN (text)."""

    def __init__(self, spec: str) -> None:
        self.parts: list[tuple[str, str, int]] = []
        self.size = 0
        for word in spec.split():
            name, _, kind = word.rpartition(":")
            if kind.startswith("pad"):
                part = ("", "pad", int(kind[3:]))
            elif kind == "mac":
                part = (name, "uint", 6)
            elif kind.startswith("port"):
                part = (name, kind, int(kind[4:]) // 8)
            elif kind[0] == "s":
                part = (name, "text", int(kind[1:]))
            else:
                part = (name, "uint", int(kind[1:]) // 8)
            self.parts.append(part)
            self.size += part[2]

    def put(self, w: Writer, values: Any) -> None:
        """The attributes of `values`."""
        for name, kind, size in self.parts:
            if kind == "uint":
                w.uint(getattr(values, name), size)
            elif kind == "pad":
                w.pad(size)
            elif kind == "text":
                put_text(w, getattr(values, name), size)
            elif kind == "port16":
                w.u16(getattr(values, name))
            else:
                w.u32(port_to_32(getattr(values, name)))

    def get(self, r: Reader) -> dict[str, Any]:
        """Values by name."""
        found: dict[str, Any] = {}
        for name, kind, size in self.parts:
            if kind == "uint":
                found[name] = r.uint(size)
            elif kind == "pad":
                r.skip(size)
            elif kind == "text":
                found[name] = get_text(r, size)
            elif kind == "port16":
                found[name] = int(r.u16())
            else:
                found[name] = port_from_32(r.u32())
        return found


# Properties (OpenFlow 1.4, 7.2.4): type, length, value, padded to 8 bytes.

OFPPROP_EXPERIMENTER: Final = 0xFFFF


def get_properties(r: Reader) -> Iterator[tuple[int, Reader]]:
    """Each property that is left in `r`: its type, and a reader of its value without padding.

    OfpError OFPBPC_BAD_LEN.
    """
    while r.left:
        if r.left < 4:
            raise OfpError("OFPBPC_BAD_LEN", f"{r.left} bytes of a property")
        kind = r.u16()
        length = r.u16()
        padded = (length + 7) & ~7
        least = 12 if kind == OFPPROP_EXPERIMENTER else 4
        if length < least or padded - 4 > r.left:
            raise OfpError("OFPBPC_BAD_LEN", f"property {kind} of {length} bytes")
        body = r.sub(length - 4, "OFPBPC_BAD_LEN")
        r.skip(padded - length)
        yield int(kind), body


def begin_property(w: Writer, kind: int) -> int:
    """Start a property; what is to be given to `end_property`."""
    start: int = w.position()
    w.u16(kind)
    w.u16(0)
    return start


def end_property(w: Writer, start: int) -> None:
    """Finish a property: its length, its padding."""
    w.patch_u16(start + 2, w.position() - start)
    w.pad_to(8, start)


def put_u32_property(w: Writer, kind: int, value: int) -> None:
    """A property of one 32-bit number."""
    w.u16(kind)
    w.u16(8)
    w.u32(value)


def done(r: Reader) -> None:
    """Nothing may be left. OfpError: the reader's own."""
    if r.left:
        raise OfpError(r.error, f"{r.left} bytes too many")


def get_array(r: Reader, layout: Layout, cls: type) -> tuple[Any, ...]:
    """What is left as structs of one size."""
    found = []
    while r.left:
        found.append(cls(**layout.get(r)))
    return tuple(found)


ALL: Final = (OFP10, OFP15)
