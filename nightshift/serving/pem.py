"""Private keys and certificates in PEM: whether they are what they should be; gRPC only says that it fails."""

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator

from nightshift.errors import ConfigurationError


def check_pair(certificate: bytes, key: bytes, where: str) -> None:
    """Refuse a private key and a certificate that do not belong together.

    Args:
        certificate: in PEM; more may follow, of those between it and an authority.
        key: in PEM, not encrypted.
        where: what names both of them, for the error.

    Raises:
        ConfigurationError: one is not such, or they are of two pairs.
    """
    try:
        with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
            # Without a password the library would ask for it at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"{where}: expected a certificate in PEM and the private key for it, not encrypted: {_reason(error)}"
        ) from error


def check_authority(pem: bytes, where: str) -> None:
    """Refuse what holds no certificate.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{where}: expected certificates in PEM: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error)


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path that holds it; in memory where there is such a thing: it may be a key, and no disk be writable."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pem"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as disk:  # readable by its owner only
        disk.write(content)
        disk.flush()
        yield disk.name
