"""Token authentication of the demo registry, as the distribution project describes it.

Who logs in may pull everything and list the catalogue; anybody may pull what is not of NVIDIA. As with real token
servers, asking for more than is granted succeeds and shows up at the registry.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from backend.demo.images_oci import encode
from backend.demo.registry_protocol import ErrorAnswer

SERVICE: Final = "demo-registry"
CATALOGUE_SCOPE: Final = "registry:catalog:*"
_NEEDS_LOGIN: Final = ("nim/", "nvidia/", "modelcars/")
_ANONYMOUS: Final = ""


@dataclass
class TokenServer:
    """Issues and checks tokens.

    Attributes:
        secret: key of the tokens' message authentication code.
        lifetime: seconds until an access token expires.
        clock: monotonic seconds.
        issued: how many access tokens were given out.
    """

    username: str
    password: str
    secret: bytes
    clock: Callable[[], float]
    lifetime: int = 60
    issued: int = field(default=0, init=False)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `GET` with a query and an optional Basic header, and `POST` with a form (OAuth 2)."""
        if request.method == "POST":
            form = await request.post()
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            user, scopes = self._form_user(fields), fields.get("scope", "").split(" ")
            offline = fields.get("access_type") == "offline"
        else:
            user = self._header_user(request.headers.get("Authorization"))
            scopes = [each for scope in request.query.getall("scope", []) for each in scope.split(" ")]
            offline = request.query.get("offline_token") == "true"
        answer: dict[str, Any] = {"token": self._access_token(user, scopes), "expires_in": self.lifetime}
        answer["access_token"] = answer["token"]
        if offline and user != _ANONYMOUS:
            answer["refresh_token"] = self._seal({"user": user, "use": "refresh"})
        return web.Response(body=encode(answer), content_type="application/json", headers={"Cache-Control": "no-store"})

    def check(self, request: web.Request, scope: str | None) -> None:
        """Let a request pass that carries a token for the scope; None asks for any valid token.

        Raises:
            ErrorAnswer: 401 with the challenge that tells where tokens come from.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise self._challenge(request, scope, None)
        claims = self._unseal(token.strip())
        if claims is None or claims.get("use") != "access" or claims["until"] <= self.clock():
            raise self._challenge(request, scope, "invalid_token")
        if scope is not None and scope not in claims["scopes"]:
            raise self._challenge(request, scope, "insufficient_scope")

    def _challenge(self, request: web.Request, scope: str | None, error: str | None) -> ErrorAnswer:
        parts = [f'Bearer realm="{request.scheme}://{request.host}/auth/token"', f'service="{SERVICE}"']
        parts += [f'scope="{scope}"'] if scope else []
        parts += [f'error="{error}"'] if error else []
        return ErrorAnswer(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": ",".join(parts)})

    def _header_user(self, header: str | None) -> str:
        if header is None:
            return _ANONYMOUS
        scheme, _, encoded = header.partition(" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            scheme, name, password = "", "", ""
        if scheme.lower() != "basic":
            raise self._refusal()
        return self._checked_user(name, password)

    def _form_user(self, fields: dict[str, str]) -> str:
        if fields.get("grant_type") == "refresh_token":
            claims = self._unseal(fields.get("refresh_token", ""))
            if claims is None or claims.get("use") != "refresh":
                raise self._refusal()
            return str(claims["user"])
        if fields.get("grant_type") == "password":
            return self._checked_user(fields.get("username", ""), fields.get("password", ""))
        raise ErrorAnswer(400, "UNSUPPORTED", "unknown grant type")

    def _checked_user(self, name: str, password: str) -> str:
        same_name = hmac.compare_digest(name.encode(), self.username.encode())
        if not (hmac.compare_digest(password.encode(), self.password.encode()) and same_name):
            raise self._refusal()
        return name

    def _refusal(self) -> ErrorAnswer:
        return ErrorAnswer(
            401, "UNAUTHORIZED", "incorrect username or password", {"WWW-Authenticate": 'Basic realm="demo"'}
        )

    def _access_token(self, user: str, scopes: Iterable[str]) -> str:
        granted = [each for scope in scopes for each in _granted(user, scope)]
        self.issued += 1
        until = self.clock() + self.lifetime
        return self._seal({"user": user, "use": "access", "scopes": granted, "until": until, "number": self.issued})

    def _seal(self, claims: dict[str, Any]) -> str:
        body = base64.urlsafe_b64encode(encode(claims)).decode("ascii")
        return f"{body}.{self._code(body)}"

    def _unseal(self, token: str) -> dict[str, Any] | None:
        body, _, code = token.rpartition(".")
        if not hmac.compare_digest(self._code(body).encode(), code.encode()):
            return None
        claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(body))
        return claims

    def _code(self, body: str) -> str:
        return hmac.new(self.secret, body.encode(), hashlib.sha256).hexdigest()


def pull_scope(name: str) -> str:
    """The scope that reading a repository needs."""
    return f"repository:{name}:pull"


def _granted(user: str, scope: str) -> list[str]:
    # The name may hold a colon (a port), so type and actions are split off from both ends.
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    if kind == "repository" and {"pull", "*"}.intersection(actions.split(",")):
        return [pull_scope(name)] if user != _ANONYMOUS or not name.startswith(_NEEDS_LOGIN) else []
    if scope == CATALOGUE_SCOPE and user != _ANONYMOUS:
        return [CATALOGUE_SCOPE]
    return []
