"""Keys and certificates for tests, made by openssl(1)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from vswitch.vconn.tls import TlsSettings


class Authority:
    """A certificate authority of its own, in `directory`."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.key = directory / f"{name}-key.pem"
        self.certificate = directory / f"{name}-cert.pem"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-keyout", str(self.key), "-out", str(self.certificate),
        )  # fmt: skip

    @staticmethod
    def _openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def sign(self, name: str, chain: bool = False) -> TlsSettings:
        """A new key and its certificate; `chain`: with this authority's own after it."""
        key, request, certificate = (self.directory / f"{name}-{what}.pem" for what in ("key", "req", "cert"))
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
            "-CAcreateserial", "-days", "2", "-out", str(certificate),
        )  # fmt: skip
        if chain:
            certificate.write_bytes(certificate.read_bytes() + self.certificate.read_bytes())
        return TlsSettings(str(key), str(certificate), str(self.certificate))
