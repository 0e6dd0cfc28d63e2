"""TLS: keys and certificates for `ssl:` and `pssl:`, read again when their files change.

Both sides show a certificate, and each is checked against the CA certificate. With bootstrapping the
CA certificate is taken from the first peer, on trust, and kept (ovs-vswitchd.conf.db(5), SSL table).
The library for it is loaded when the first context is made: most switches have none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, final

from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.vconn.tls_protocols import VERSIONS, unknown_protocols

if TYPE_CHECKING:
    import ssl

log: Final = Vlog("stream_ssl")


@dataclass(frozen=True)
class TlsSettings:
    """Paths of PEM files; "" where there is none. `protocols` such as "TLSv1.2,TLSv1.3", `ciphers` as
    OpenSSL writes them (1.2 and earlier); "" for OpenSSL's choice."""

    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""
    bootstrap_ca_cert: bool = False
    protocols: str = ""
    ciphers: str = ""


class TlsError(Exception):
    """TLS can't be used as configured; the text says why."""


@final
class Tls:
    """The process's TLS settings and the contexts made of them."""

    def __init__(self, clock: Clock, settings: TlsSettings | None = None) -> None:
        self._clock = clock
        self._settings = settings or TlsSettings()
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._read: tuple[object, ...] = ()
        self._rl = RateLimit(10, 10)

    @property
    def settings(self) -> TlsSettings:
        """The settings in use."""
        return self._settings

    def configure(self, settings: TlsSettings) -> None:
        """Use `settings` for connections from now on."""
        if settings != self._settings:
            self._settings = settings
            self._contexts.clear()

    @property
    def bootstrapping(self) -> bool:
        """Whether the CA certificate is still to come from a peer."""
        s = self._settings
        return s.bootstrap_ca_cert and bool(s.ca_cert) and not os.path.exists(s.ca_cert)

    def context(self, server: bool) -> ssl.SSLContext:
        """The context for one side. TlsError: a file is missing, not configured or bad."""
        stamp = self._stamp()
        if stamp != self._read:
            self._contexts.clear()
            self._read = stamp
        context = self._contexts.get(server)
        if context is None:
            context = self._contexts[server] = self._make(server)
        return context

    def _stamp(self) -> tuple[object, ...]:
        """What changes when a file does."""
        found: list[object] = []
        for path in (self._settings.private_key, self._settings.certificate, self._settings.ca_cert):
            try:
                st = os.stat(path) if path else None
            except OSError:
                st = None
            found.append((st.st_mtime_ns, st.st_size, st.st_ino) if st else None)
        return tuple(found)

    def _make(self, server: bool) -> ssl.SSLContext:
        s = self._settings
        lacking = [
            what
            for what, path in (
                ("Private key", s.private_key),
                ("Certificate", s.certificate),
                ("CA certificate", s.ca_cert),
            )
            if not path
        ]
        for what in lacking:
            log.err_rl(self._rl, self._clock.now(), "%s must be configured to use SSL", what)
        if lacking:
            raise TlsError(f"{lacking[0]} must be configured to use SSL")
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        # A switch knows its controllers by whose CA signed them, not by their host names.
        context.check_hostname = False
        context.options |= ssl.OP_NO_TICKET | ssl.OP_IGNORE_UNEXPECTED_EOF
        try:
            try:
                context.load_cert_chain(s.certificate, s.private_key)
            except (OSError, ssl.SSLError) as e:
                raise TlsError(f"{s.certificate}, {s.private_key}: {e.strerror or e}") from e
            if self.bootstrapping:
                context.verify_mode = ssl.CERT_NONE
            else:
                context.verify_mode = ssl.CERT_REQUIRED
                try:
                    context.load_verify_locations(s.ca_cert)
                except (OSError, ssl.SSLError) as e:
                    raise TlsError(f"{s.ca_cert}: {e.strerror or e}") from e
            self._limit(context)
        except TlsError as e:
            log.err_rl(self._rl, self._clock.now(), "%s", e)
            raise
        return context

    def _limit(self, context: ssl.SSLContext) -> None:
        import ssl

        s = self._settings
        if s.protocols:
            names = s.protocols.replace(",", " ").split()
            bad = unknown_protocols(s.protocols)
            if bad or not names:
                raise TlsError(f"{bad[0] if bad else 'nothing'}: SSL protocol not recognized")
            versions = sorted(ssl.TLSVersion[VERSIONS[name]] for name in names)
            context.minimum_version = versions[0]
            context.maximum_version = versions[-1]
        if s.ciphers:
            try:
                context.set_ciphers(s.ciphers)
            except ssl.SSLError as e:
                raise TlsError(f"SSL ciphers {s.ciphers}: {e}") from e

    def bootstrap(self, chain: list[bytes]) -> bool:
        """Keep the last certificate (DER) of a peer's `chain` as the CA certificate. False: it can't be
        one, or can't be written; the log says which."""
        import ssl

        path = self._settings.ca_cert
        now = self._clock.now()
        if not chain:
            log.err_rl(self._rl, now, "could not bootstrap CA cert: no certificate presented by peer")
            return False
        if not self_signed(chain[-1]):
            log.err_rl(
                self._rl, now,
                "could not bootstrap CA cert, because it was not in the certificate chain of the peer",
            )  # fmt: skip
            return False
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444)
        except OSError as e:
            log.err_rl(self._rl, now, "could not bootstrap CA cert: creating %s failed: %s", path, e.strerror)
            return False
        try:
            with os.fdopen(fd, "w") as f:
                f.write(ssl.DER_cert_to_PEM_cert(chain[-1]))
        except OSError as e:
            os.unlink(path)
            log.err_rl(self._rl, now, "could not bootstrap CA cert: writing %s failed: %s", path, e.strerror)
            return False
        self._contexts.clear()
        log.info("successfully bootstrapped CA cert to %s", path)
        return True


def _der(data: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the DER element at `at` begin and end. IndexError: it is cut short."""
    length = data[at + 1]
    start = at + 2
    if length & 0x80:
        n = length & 0x7F
        length = int.from_bytes(data[start : start + n], "big")
        start += n
    if start + length > len(data):
        raise IndexError(at)
    return start, start + length


def self_signed(certificate: bytes) -> bool:
    """Whether a DER certificate names its own subject as issuer (RFC 5280, 4.1)."""
    try:
        tbs, _ = _der(certificate, _der(certificate, 0)[0])
        at = tbs
        if certificate[at] == 0xA0:  # [0] version
            at = _der(certificate, at)[1]
        at = _der(certificate, at)[1]  # serialNumber
        at = _der(certificate, at)[1]  # signature
        issuer_end = _der(certificate, at)[1]
        issuer = certificate[at:issuer_end]
        at = _der(certificate, issuer_end)[1]  # validity
        return certificate[at : _der(certificate, at)[1]] == issuer
    except IndexError:
        return False
