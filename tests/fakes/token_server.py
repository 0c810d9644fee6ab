"""A token server by distribution's token authentication specification: signs ES256 JSON web tokens for a test."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

ISSUER, SERVICE = "modelyard tests", "registry under test"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Gives tokens on loopback to the users named, for what each may read; use it as a context manager.

    Attributes:
        url: the realm.
        host: of the realm, with port.
        seconds: how long a token holds.
        requests: how many tokens were asked for.
        passwords: for how many of them a password was shown.

    Args:
        refreshes: who logs in and asks for it gets a refresh token, and access tokens for that.
    """

    def __init__(self, folder: Path, users: Mapping[str, str], seconds: int = 300, *, refreshes: bool = False) -> None:
        self.users = dict(users)
        self.seconds = seconds
        self.requests = self.passwords = 0
        self._refreshes = refreshes
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = folder / "issuer.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, str]:
        """The registry's `auth.token` section."""
        return {"realm": self.url, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(self.bundle)}

    def token(self, user: str, scopes: list[str]) -> str:
        """A token for the scopes (names with ports too)."""
        access = []
        for scope in scopes:
            resource, _, actions = scope.rpartition(":")
            kind, _, name = resource.partition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        certificate = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(certificate).decode()]}
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + self.seconds, "nbf": now - 10, "iat": now,
            "jti": str(time.monotonic_ns()), "access": access,
        }  # fmt: skip
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _user_of(self, authorization: str) -> str | None:
        if not authorization:
            return ""
        name, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return name if self.users.get(name) == password else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                query = parse_qs(urlsplit(self.path).query)
                user = server._user_of(self.headers.get("Authorization", ""))
                if user is None:
                    self._reply(401, {"details": "wrong user or password"})
                    return
                # Without a credential a token is given too, good for nothing: that is how registries do it.
                scopes = query.get("scope", []) if user else []
                server.passwords += bool(user)
                answer = {"token": server.token(user, scopes), "expires_in": server.seconds}
                if server._refreshes and user and query.get("offline_token") == ["true"]:
                    answer["refresh_token"] = f"refresh-{user}"
                self._reply(200, answer)

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
                user = form.get("refresh_token", [""])[0].removeprefix("refresh-")
                if not server._refreshes or form.get("grant_type") != ["refresh_token"] or user not in server.users:
                    self._reply(404 if not server._refreshes else 401, {})
                    return
                server.requests += 1
                scopes = form.get("scope", [""])[0].split()
                self._reply(200, {"access_token": server.token(user, scopes), "expires_in": server.seconds})

            def _reply(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
