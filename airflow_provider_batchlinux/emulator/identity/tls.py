"""Create the certificates for HTTPS on loopback."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LoopbackTls:
    """
    The certificates for a server on loopback and its clients.

    :param ca: the file with the authority's certificate, which clients must trust.
    :param context: the server's certificate; its private key is not stored in a file.
    """

    ca: Path
    context: ssl.SSLContext


def make_loopback_tls(directory: Path) -> LoopbackTls:
    """
    Create a new authority, and a certificate for 127.0.0.1 and localhost.

    :param directory: the directory for ``ca.pem``; created if it does not exist.
    :raises OSError: the file cannot be written.
    """
    # Needed only for HTTPS.
    import trustme

    authority = trustme.CA(organization_name="batchlinux-emulator")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    directory.mkdir(parents=True, exist_ok=True)
    ca = directory.absolute() / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    return LoopbackTls(ca, context)
