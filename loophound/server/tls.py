"""TLS: the context that the options ask for, its renewal, and what ASGI tells of a connection.

Versions below 1.2 are not spoken (RFC 8996), nor is renegotiation, with which a client
can make a server work for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from pathlib import Path
from typing import Any

from loophound.config import Config
from loophound.errors import StartupError

logger = logging.getLogger("loophound.server")

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_NUMBERS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}  # on the wire: RFC 8446, section 4.2.1
_FIRST_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

# RFC 4514, section 3: the short names of attributes, by what the ssl module calls them.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class Tls:
    """The TLS of one server. Raises StartupError for a certificate, a key or a setting that cannot serve."""

    def __init__(self, config: Config) -> None:
        self._config = config
        if config.ssl_context_factory is None:
            self.context = make_context(config)
        else:
            self.context = _ask_factory(config)
        self._suites = {entry["name"]: entry["id"] & 0xFFFF for entry in self.context.get_ciphers()}
        self._certificate = _first_certificate(config.ssl_certfile)

    def reload(self) -> None:
        """Take the certificate and the key from their files again; connections from now on get them.

        Files that cannot serve are logged, and what is in use stays.
        """
        config = self._config
        if config.ssl_certfile is None:
            logger.warning("The certificate is not loaded again: it comes from ssl_context_factory, not from a file")
            return
        try:
            # First into a context that nobody uses: loading stops half-way at a bad key, with the new
            # certificate in place and no key to it.
            _load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config)
            _load_certificate(self.context, config)
        except StartupError as error:
            logger.error("The certificate is not loaded again, the one in use stays: %s", error)
            return
        self._certificate = _first_certificate(config.ssl_certfile)
        logger.info("The certificate is loaded again from %s", config.ssl_certfile)

    def extension(self, transport: asyncio.BaseTransport) -> dict[str, Any]:
        """What the scopes of a connection say of it (ASGI TLS extension, version 0.2)."""
        connection = transport.get_extra_info("ssl_object")
        cipher = connection.cipher()
        chain = _client_chain(connection)
        return {
            "server_cert": self._certificate,
            "client_cert_chain": chain,
            # Without a check by an authority the ssl module does not parse it.
            "client_cert_name": _name((connection.getpeercert() or {}).get("subject", ())) if chain else None,
            "client_cert_error": None,  # a client with a bad certificate does not get past the handshake
            "tls_version": _NUMBERS.get(connection.version()),
            "cipher_suite": self._suites.get(cipher[0]) if cipher else None,
        }


def make_context(config: Config) -> ssl.SSLContext:
    """The context that the `ssl_` options describe. Raises StartupError."""
    if config.ssl_certfile is None:
        raise StartupError("a TLS context from the options wants a certificate: give --ssl-certfile")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[config.ssl_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    if config.ssl_ciphers is not None:
        try:
            context.set_ciphers(config.ssl_ciphers)
        except ssl.SSLError:
            raise StartupError(f"--ssl-ciphers: OpenSSL knows no cipher of {config.ssl_ciphers!r}") from None
    _load_certificate(context, config)
    if config.ssl_ca_certs is not None:
        _load_authorities(context, config.ssl_ca_certs)
    context.verify_mode = _VERIFY[config.ssl_cert_reqs]
    return context


def _ask_factory(config: Config) -> ssl.SSLContext:
    assert config.ssl_context_factory is not None
    context = config.ssl_context_factory(config, lambda: make_context(config))
    if not isinstance(context, ssl.SSLContext):
        raise StartupError(f"ssl_context_factory returns an ssl.SSLContext; got {type(context).__name__}")
    return context


def _load_certificate(context: ssl.SSLContext, config: Config) -> None:
    certfile, keyfile = config.ssl_certfile, config.ssl_keyfile
    assert certfile is not None
    _check_readable("--ssl-certfile", certfile)
    if keyfile is not None:
        _check_readable("--ssl-keyfile", keyfile)
    asked = False

    def password() -> str:  # without it, OpenSSL asks on the terminal
        nonlocal asked
        asked = True
        return config.ssl_keyfile_password or ""

    try:
        context.load_cert_chain(certfile, keyfile, password)
    except (ssl.SSLError, ValueError) as error:  # ValueError: a password of more than 1023 bytes
        raise StartupError(_what_is_wrong(config, error, asked)) from None


def _what_is_wrong(config: Config, error: Exception, asked_password: bool) -> str:
    certfile = config.ssl_certfile
    keyfile = config.ssl_keyfile or certfile
    if asked_password:
        if config.ssl_keyfile_password is None:
            return f"the private key in {keyfile} is encrypted: give --ssl-keyfile-password"
        return f"--ssl-keyfile-password does not open the private key in {keyfile}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"the private key in {keyfile} does not belong to the certificate in {certfile}"
    if _first_certificate(certfile) is None:
        return f"--ssl-certfile {certfile}: no certificate in PEM format"
    if "PRIVATE KEY-----" not in Path(keyfile or "").read_text("latin-1"):
        hint = "" if config.ssl_keyfile else "; give --ssl-keyfile where the key is in another file"
        return f"no private key in PEM format in {keyfile}{hint}"
    return f"OpenSSL cannot use the certificate in {certfile} with the private key in {keyfile} ({error})"


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _check_readable("--ssl-ca-certs", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise StartupError(f"--ssl-ca-certs {path}: no certificate in PEM format") from None


def _check_readable(option: str, path: str) -> None:
    """The ssl module's own errors do not say which file it was."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise StartupError(f"{option} {path}: {error.strerror}") from None


def _first_certificate(path: str | None) -> str | None:
    if path is None:
        return None
    found = _FIRST_CERTIFICATE.search(Path(path).read_text("latin-1"))
    return found[0] if found else None


def _client_chain(connection: Any) -> tuple[str, ...]:
    """The certificates that the client showed, its own first; before Python 3.13 that one alone."""
    own = connection.getpeercert(binary_form=True)
    if own is None:  # asked for the chain then, Python 3.13.0 fails
        return ()
    chain = connection.get_unverified_chain() if hasattr(connection, "get_unverified_chain") else [own]
    return tuple(ssl.DER_cert_to_PEM_cert(certificate) for certificate in chain)


def _name(subject: Any) -> str | None:
    """A distinguished name in the form of RFC 4514, section 2."""
    parts = ["+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in names) for names in subject]
    return ",".join(reversed(parts)) or None


def _escaped(value: str) -> str:
    """RFC 4514, section 2.4."""
    text = re.sub(r'([\\"+,;<>])', r"\\\1", value).replace("\0", "\\00")
    if text.endswith(" "):
        text = text[:-1] + "\\ "
    return "\\" + text if text.startswith(("#", " ")) else text
