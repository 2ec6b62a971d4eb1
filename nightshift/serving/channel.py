"""A gRPC channel to a model server, encrypted or not, and what it means when TLS fails. No TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from nightshift.errors import ConfigurationError
from nightshift.serving.pem import check_authority, check_pair
from nightshift.settings import Settings, settings

SYSTEM = "system"
"""Instead of a file: the authorities that gRPC trusts by itself."""


@dataclass(frozen=True)
class Tls:
    """How a client knows a server, and proves itself to one that asks, each in PEM.

    Attributes:
        authority: who has to have signed the server's certificate; None: one that gRPC trusts by itself.
        certificate: the client's own; None: it has none.
        key: for that certificate, not encrypted.
        name: that the server's certificate has to be for; '' is the host that is asked.
    """

    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    name: str = ""


def read_tls(authority: str, certificate: str = "", key: str = "", name: str = "") -> Tls:
    """What files hold.

    Args:
        authority: the file of who signs servers, or `system`.
        certificate: the file of the client's own; '' for none.
        key: the file of the private key for it.
        name: that the server's certificate has to be for; '' is the host that is asked.

    Raises:
        ConfigurationError: a file cannot be read or is not what it should be, or one of two is missing.
    """
    return _read("tls", authority, certificate, key, name)


def environment_tls(found: Settings | None = None) -> Tls | None:
    """What NIGHTSHIFT_TLS_CA, _CERT, _KEY and _NAME say; None: connections are not encrypted.

    Raises:
        ConfigurationError: as for `read_tls`; or others are set without NIGHTSHIFT_TLS_CA.
    """
    said = found or settings()
    if not said.tls_ca:
        for variable in ("tls_cert", "tls_key", "tls_name"):
            if getattr(said, variable):
                raise ConfigurationError(
                    f"NIGHTSHIFT_{variable.upper()} is set without NIGHTSHIFT_TLS_CA: expected the file of who signs "
                    f"the server's certificate, or {SYSTEM!r}"
                )
        return None
    return _read("NIGHTSHIFT_TLS", said.tls_ca, said.tls_cert, said.tls_key, said.tls_name)


def _read(prefix: str, authority: str, certificate: str, key: str, name: str) -> Tls:
    roots = None if authority == SYSTEM else _content(f"{prefix}_CA", authority)
    if roots is not None:
        check_authority(roots, f"{prefix}_CA: {authority}")
    if bool(certificate) != bool(key):
        missing, given = ("KEY", "CERT") if certificate else ("CERT", "KEY")
        raise ConfigurationError(f"{prefix}_{given} is set without {prefix}_{missing}: expected both, or neither")
    if not certificate:
        return Tls(roots, name=name)
    own, private = _content(f"{prefix}_CERT", certificate), _content(f"{prefix}_KEY", key)
    check_pair(own, private, f"{prefix}_CERT and {prefix}_KEY: {certificate} and {key}")
    return Tls(roots, own, private, name)


def _content(setting: str, file: str) -> bytes:
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {file}: cannot be read: {error.strerror}") from error


def open_channel(target: str, tls: Tls | None, options: Sequence[tuple[str, Any]] = ()) -> Any:
    """A channel that connects on the first call.

    Args:
        target: HOST:PORT.
        tls: how it is encrypted; None: not at all.
        options: gRPC's.
    """
    if tls is None:
        return grpc.insecure_channel(target, options=list(options))
    credentials = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    named = [("grpc.ssl_target_name_override", tls.name)] if tls.name else []
    return grpc.secure_channel(target, credentials, options=[*options, *named])


def refusal(details: str, name: str) -> str:
    """Why two ends will not talk however often they try, by what gRPC says of it; '' if it is not about that.

    Args:
        details: of gRPC's error.
        name: that the server's certificate has to be for.
    """
    if "Hostname Verification Check failed" in details:
        return f"its certificate is not for {name}; if it is the right server, NIGHTSHIFT_TLS_NAME says what it is for"
    if "CERTIFICATE_VERIFY_FAILED" in details:
        reason = details.partition("CERTIFICATE_VERIFY_FAILED: ")[2].partition(": ")[0]
        return f"its certificate is refused ({reason}); NIGHTSHIFT_TLS_CA is the file of who signs it"
    if "WRONG_VERSION_NUMBER" in details:
        return "it does not speak TLS; unset NIGHTSHIFT_TLS_CA for it"
    return ""


def guess(details: str, tls: Tls | None) -> str:
    """What may be the reason that a server closes a new connection at once; '' if that is not what happened."""
    if not details.startswith("failed to connect") or "Socket closed" not in details:
        return ""
    if tls is None:
        return "it closed the connection: if it speaks TLS, set NIGHTSHIFT_TLS_CA to the file of who signs servers"
    if tls.certificate is None:
        return "it closed the connection: if it asks for a client's certificate, set NIGHTSHIFT_TLS_CERT and _KEY"
    return "it closed the connection: it may not accept the client's certificate"
