"""TLS for the gRPC port: TensorFlow Serving's SSLConfig (--ssl_config_file), which holds keys and certificates in PEM.

REST stays without, as in TensorFlow Serving.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded.server_files import BOOL, STRING, message_classes, read_message
from nightshift.serving.pem import check_authority, check_pair

_CLASSES = message_classes(
    "ssl_config.proto",
    {"SSLConfig": {"server_key": STRING, "server_cert": STRING, "custom_ca": STRING, "client_verify": BOOL}},
)


@dataclass(frozen=True)
class ServerTls:
    """What a server proves itself with, each in PEM.

    Attributes:
        key: its private key, not encrypted.
        certificate: for that key, and whatever is between it and an authority.
        authority: who has to have signed the certificates of clients.
        verify_clients: whether clients need one.
    """

    key: bytes = field(repr=False)
    certificate: bytes
    authority: bytes = b""
    verify_clients: bool = False

    def credentials(self) -> Any:
        """Them for gRPC."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            root_certificates=self.authority or None,
            require_client_auth=self.verify_clients,
        )


def read_tls(file: Path) -> ServerTls:
    """The SSLConfig in a file.

    Raises:
        ConfigurationError: the file cannot be read or is no SSLConfig; or key, certificates or authority are none, or
            do not belong together.
    """
    config = read_message(file, _CLASSES["SSLConfig"]())
    tls = ServerTls(
        config.server_key.encode(), config.server_cert.encode(), config.custom_ca.encode(), config.client_verify
    )
    for name, pem in (("server_key", tls.key), ("server_cert", tls.certificate)):
        if b"-----BEGIN " not in pem:
            found = "a path" if pem[:1] in (b"/", b".") else "no PEM"
            raise ConfigurationError(f"{file}: {name}: found {found}, expected the text of a PEM file")
    if tls.verify_clients and not tls.authority:
        raise ConfigurationError(f"{file}: custom_ca: found nothing, expected who signs clients, for client_verify")
    check_pair(tls.certificate, tls.key, f"{file}: server_cert and server_key")
    if tls.authority:
        check_authority(tls.authority, f"{file}: custom_ca")
    return tls
