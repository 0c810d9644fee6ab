"""Mutual TLS with a kubeconfig's inline certificates, over a real handshake."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from backend.cluster.connection import ClusterConnection
from backend.core.errors import ConfigurationError, UnreachableError
from tests.fakes.cluster_server import write_kubeconfig
from tests.fakes.ports import FixedClock

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _certificate(name: str, issuer: _Pair | None = None) -> _Pair:
    """A certificate of an authority (no issuer), or of 127.0.0.1 signed by one, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if issuer:
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False).add_extension(address, False)
    return builder.sign(signer, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _inline(data: bytes) -> str:
    return base64.b64encode(data).decode()


class _Secured:
    """A server that asks for a client certificate of its authority and tells whose it was."""

    def __init__(self, url: str, authority: _Pair) -> None:
        self.url = url
        self.authority = authority

    def user(self, name: str) -> dict[str, Any]:
        """A kubeconfig user with a certificate of that name."""
        certificate, key = _certificate(name, self.authority)
        return {"client-certificate-data": _inline(_pem(certificate)), "client-key-data": _inline(_key_pem(key))}

    @property
    def cluster(self) -> dict[str, str]:
        """The kubeconfig cluster's authority."""
        return {"certificate-authority-data": _inline(_pem(self.authority[0]))}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[_Secured]:
    authority = _certificate("authority")
    certificate, key = _certificate("server", authority)
    files = {"ca": _pem(authority[0]), "crt": _pem(certificate), "key": _key_pem(key)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert")
        return web.Response(text=dict(entry[0] for entry in peer["subject"])["commonName"])

    application = web.Application()
    application.router.add_get("/version", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield _Secured(f"https://127.0.0.1:{runner.addresses[0][1]}", authority)
    finally:
        await runner.cleanup()


async def _version(path: Path, clock: FixedClock) -> tuple[bytes, str]:
    connection = await ClusterConnection.open(None, path, clock=clock)
    try:
        return (await connection.request("GET", "/version")).body, connection.authority_hash
    finally:
        await connection.close()


async def test_an_inline_client_certificate_signs_in(secured: _Secured, tmp_path: Path, clock: FixedClock) -> None:
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": secured.user("robin")}, cluster=secured.cluster)
    body, authority = await _version(path, clock)
    assert body == b"robin"
    assert authority.startswith("sha256:")


async def test_the_same_certificates_serve_twice_in_one_process(
    secured: _Secured, tmp_path: Path, clock: FixedClock
) -> None:
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": secured.user("robin")}, cluster=secured.cluster)
    assert (await _version(path, clock))[0] == b"robin"
    assert (await _version(path, clock))[0] == b"robin"


async def test_an_exec_plugins_certificate_signs_in(secured: _Secured, tmp_path: Path, clock: FixedClock) -> None:
    certificate, key = _certificate("plugin", secured.authority)
    status = {"clientCertificateData": _pem(certificate).decode(), "clientKeyData": _key_pem(key).decode()}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/usr/bin/env python3\nimport json\nprint(json.dumps({answer!r}))\n", encoding="utf-8")
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": user}, cluster=secured.cluster)
    assert (await _version(path, clock))[0] == b"plugin"


async def test_another_authority_is_not_trusted(secured: _Secured, tmp_path: Path, clock: FixedClock) -> None:
    other = {"certificate-authority-data": _inline(_pem(_certificate("other")[0]))}
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": secured.user("robin")}, cluster=other)
    with pytest.raises(UnreachableError, match="is not trusted"):
        await _version(path, clock)


async def test_verification_is_skipped_only_when_the_kubeconfig_says_so(
    secured: _Secured, tmp_path: Path, clock: FixedClock
) -> None:
    skipping = {"insecure-skip-tls-verify": True}
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": secured.user("robin")}, cluster=skipping)
    assert (await _version(path, clock))[0] == b"robin"


async def test_a_key_of_another_certificate_is_told(secured: _Secured, tmp_path: Path, clock: FixedClock) -> None:
    user = secured.user("robin") | {"client-key-data": secured.user("mira")["client-key-data"]}
    path = write_kubeconfig(tmp_path / "config", secured.url, {"me": user}, cluster=secured.cluster)
    with pytest.raises(ConfigurationError):
        await _version(path, clock)
