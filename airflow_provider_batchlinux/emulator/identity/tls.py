"""Makes the certificates to serve HTTPS on loopback with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LoopbackTls:
    """
    What a server on loopback needs, and what its clients need.

    :param ca: the file with the authority's certificate, which clients are to trust.
    :param context: what the server shows; its private key is in no file.
    """

    ca: Path
    context: ssl.SSLContext


def make_loopback_tls(directory: Path) -> LoopbackTls:
    """
    Make an authority and a certificate for 127.0.0.1 and localhost, both new at each start.

    :param directory: gets ``ca.pem``; it is made if it is not there.
    :raises OSError: the file cannot be written.
    """
    # Only who serves HTTPS needs it.
    import trustme

    authority = trustme.CA(organization_name="batchlinux-emulator")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    directory.mkdir(parents=True, exist_ok=True)
    ca = directory.absolute() / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    return LoopbackTls(ca, context)
