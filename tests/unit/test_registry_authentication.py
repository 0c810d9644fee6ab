"""Who gets the credential, when tokens are renewed, and that no secret shows."""

from __future__ import annotations

import asyncio
import base64
import logging
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import AuthenticationError, MalformedDataError, ModelyardError, NotFoundError, UnreachableError
from backend.registry.authentication import _reading_scopes
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credential
from tests.fakes.registry import (
    PASSWORD,
    USER,
    FixedCredentials,
    PausableClock,
    Script,
    answer_manifest,
    client_of,
    configured,
    image_manifest,
)

CREDENTIAL = Credential(USER, PASSWORD)
MANIFEST = image_manifest()


class TokenRegistry:
    """A registry with Bearer authentication: takes the last token that it gave for a repository."""

    def __init__(self, realm: str = "https://registry.example/token", **challenge: str) -> None:
        self.realm = realm
        self.challenge = challenge
        self.expires_in: object = 300
        self.given = 0
        self.good: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if str(request.url).startswith(self.realm.lower()):
            self.given += 1
            token = f"token-{self.given}"
            self.good.add(token)
            return httpx.Response(200, json={"token": token, "expires_in": self.expires_in})
        _, _, token = request.headers.get("authorization", "").partition(" ")
        if token in self.good:
            return answer_manifest(MANIFEST)
        scope = f"repository:{request.url.path.split('/manifests/')[0][4:]}:pull"
        parameters = {"realm": self.realm, "service": "reg", "scope": scope, **self.challenge}
        listed = ",".join(f'{name}="{value}"' for name, value in parameters.items())
        return httpx.Response(401, headers={"WWW-Authenticate": f"Bearer {listed}"})


async def test_a_token_is_got_once_and_used_until_it_runs_out() -> None:
    clock, registry = PausableClock(), TokenRegistry()
    script = Script(registry)
    client = client_of(script, clock=clock, credential=CREDENTIAL)
    for _ in range(3):
        await client.resolve("a/b", "1")
    assert [line.split("?")[0] for line in script.lines] == [
        "HEAD https://registry.example/v2/a/b/manifests/1",
        "GET https://registry.example/token",
        *["HEAD https://registry.example/v2/a/b/manifests/1"] * 3,
    ]
    token_request = script.requests[1]
    assert token_request.headers["authorization"] == CREDENTIAL.basic
    assert dict(token_request.url.params) == {
        "service": "reg",
        "scope": "repository:a/b:pull",
        "offline_token": "true",
        "client_id": "modelyard",
    }
    clock.advance(seconds=299)
    script.requests.clear()
    await client.resolve("a/b", "1")
    assert "authorization" not in script.requests[0].headers
    assert registry.given == 2


async def test_a_token_refused_early_is_renewed_by_an_unauthenticated_challenge() -> None:
    registry = TokenRegistry()
    script = Script(registry)
    client = client_of(script)
    await client.resolve("a/b", "1")
    registry.good.clear()
    script.requests.clear()
    await client.resolve("a/b", "1")
    authorized = ["authorization" in request.headers for request in script.requests]
    assert authorized == [True, False, False, True]


async def test_each_repository_has_a_token_of_its_own_got_by_one_of_many_requests() -> None:
    registry = TokenRegistry()
    client = client_of(registry)
    await asyncio.gather(*(client.resolve(name, str(tag)) for name in ("a", "b") for tag in range(8)))
    assert registry.given == 2


async def test_a_registry_that_refuses_every_token_is_not_asked_for_ever() -> None:
    registry = TokenRegistry(error="insufficient_scope")
    script = Script(lambda r: registry(r) if "token" in r.url.path else registry(httpx.Request("HEAD", r.url)))
    client = client_of(script, credential=CREDENTIAL)
    with pytest.raises(AuthenticationError, match="manifest reg/a/b:1"):
        await client.resolve("a/b", "1")
    assert len(script.requests) == 3


async def test_basic_is_asked_for_once_for_all_repositories() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == CREDENTIAL.basic:
            return answer_manifest(MANIFEST)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    script = Script(serve)
    client = client_of(script, credential=CREDENTIAL)
    await client.resolve("a", "1")
    await client.resolve("b", "1")
    assert len(script.requests) == 3
    wrong = client_of(serve, credential=Credential(USER, "wrong"))
    with pytest.raises(AuthenticationError):
        await wrong.resolve("a", "1")
    with pytest.raises(AuthenticationError, match="none are known"):
        await client_of(serve).resolve("a", "1")


async def test_a_credential_that_changed_is_read_again_when_it_is_refused() -> None:
    current = Credential(USER, "second")

    def serve(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == current.basic:
            return answer_manifest(MANIFEST)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    client = client_of(serve, credential=current)
    await client.resolve("a", "1")
    current = Credential(USER, "third")
    source = client._authenticator._credentials
    assert isinstance(source, FixedCredentials)
    source.credential = current
    await client.resolve("a", "1")


@pytest.mark.parametrize(
    ("realm", "allowed"),
    [
        ("https://registry.example/token", True),
        ("https://REGISTRY.example/token", True),
        ("https://auth.example/token?account=x", True),
        ("https://registry.example:8443/token", False),
        ("https://evil.example/token", False),
        ("https://auth.example.evil.example/token", False),
        ("https://registry.example@evil.example/token", False),
        ("http://registry.example/token", False),
    ],
)
async def test_the_credential_goes_to_our_host_and_to_named_realms_only(realm: str, allowed: bool) -> None:
    script = Script(TokenRegistry(realm))
    client = client_of(script, credential=CREDENTIAL, config=configured(credential_realms=("auth.example",)))
    if allowed:
        await client.resolve("a/b", "1")
        assert [r.headers.get("authorization") for r in script.requests if "/token" in r.url.path] == [CREDENTIAL.basic]
    else:
        with pytest.raises(AuthenticationError):
            await client.resolve("a/b", "1")
        assert all(CREDENTIAL.basic not in request.headers.values() for request in script.requests)


async def test_an_anonymous_visitor_may_be_sent_anywhere() -> None:
    script = Script(TokenRegistry("https://auth.docker.example/token"))
    await client_of(script).resolve("a/b", "1")
    assert "authorization" not in script.requests[1].headers


async def test_the_equals_sign_of_a_realm_stays() -> None:
    script = Script(TokenRegistry("https://registry.example/token?account=a=b"))
    await client_of(script).resolve("a/b", "1")
    assert script.requests[1].url.query.startswith(b"account=a=b&service=reg&scope=")


@pytest.mark.parametrize("status", [200, 404, 405])
async def test_an_identity_token_is_exchanged_by_post_else_by_get(status: int) -> None:
    registry = TokenRegistry()

    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and status != 200:
            return httpx.Response(status)
        return registry(request)

    script = Script(serve)
    client = client_of(script, credential=Credential("", "", "identity"))
    await client.resolve("a/b", "1")
    form = parse_qs(script.requests[1].content.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "client_id": ["modelyard"],
        "service": ["reg"],
        "scope": ["repository:a/b:pull"],
        "refresh_token": ["identity"],
    }
    assert [r.method for r in script.requests[1:-1]] == (["POST"] if status == 200 else ["POST", "GET"])
    assert "identity" not in str(script.requests[2].url)


async def test_a_new_identity_token_replaces_the_old_one() -> None:
    forms: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            forms.append(parse_qs(request.content.decode())["refresh_token"][0])
            return httpx.Response(200, json={"access_token": "t", "refresh_token": "next"})
        if "authorization" in request.headers:
            return answer_manifest(MANIFEST)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://registry.example/t"'})

    client = client_of(serve, credential=Credential("", "", "first"))
    await client.resolve("a", "1")
    await client.resolve("b", "1")
    assert forms == ["first", "next"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, content=b"{}"), MalformedDataError),
        (httpx.Response(200, content=b'{"token": ""}'), MalformedDataError),
        (httpx.Response(200, content=b'{"token": "a\\r\\nX: y"}'), MalformedDataError),
        (httpx.Response(200, content=b'{"token": 5}'), MalformedDataError),
        (httpx.Response(200, content=b"<html>"), MalformedDataError),
        (httpx.Response(204), MalformedDataError),
        (httpx.Response(401), AuthenticationError),
        (httpx.Response(403), AuthenticationError),
        (httpx.Response(404), NotFoundError),
        (httpx.Response(500), UnreachableError),
        (httpx.Response(200, content=b"x" * (1 << 20)), MalformedDataError),
    ],
)
async def test_a_bad_token_server_is_told(answer: httpx.Response, kind: type[ModelyardError]) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/t":
            return httpx.Response(answer.status_code, content=answer.read())
        return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://registry.example/t"'})

    with pytest.raises(kind, match="manifest reg/a/b:1"):
        await client_of(serve, credential=CREDENTIAL).resolve("a/b", "1")


@pytest.mark.parametrize("realm", ["", "nowhere", "ftp://x/", "https://", "https://[::1/"])
async def test_a_challenge_without_a_realm_is_told(realm: str) -> None:
    client = client_of(lambda r: httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(MalformedDataError, match="no address to get a token from"):
        await client.resolve("a/b", "1")


@pytest.mark.parametrize(
    ("expires_in", "good_after"), [(None, 50), (0, 50), (-5, 50), (10, 8), ("300", 200), (1e300, 70_000)]
)
async def test_a_token_holds_as_long_as_its_server_says_a_minute_else_a_day_at_most(
    expires_in: object, good_after: float
) -> None:
    clock, registry = PausableClock(), TokenRegistry()
    registry.expires_in = expires_in
    client = client_of(registry, clock=clock)
    await client.resolve("a/b", "1")
    clock.advance(seconds=good_after)
    await client.resolve("a/b", "1")
    assert registry.given == 1
    clock.advance(seconds=86_400)
    await client.resolve("a/b", "1")
    assert registry.given == 2


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("repository:a/b:pull,push,delete", ["repository:a/b:pull"]),
        ("repository:host:5000/a:pull", ["repository:host:5000/a:pull"]),
        ("repository:a:metadata_read repository:a:pull", ["repository:a:metadata_read", "repository:a:pull"]),
        ("registry:catalog:*", ["registry:catalog:*"]),
        ("repository:a:*", []),
        ("pull", []),
        ("", []),
    ],
)
def test_never_more_than_reading_is_asked_for(asked: str, wanted: list[str]) -> None:
    assert _reading_scopes(asked) == wanted


@given(st.text(alphabet="repositoy:*pul,shdacg /", max_size=60))
def test_no_scope_of_a_registry_makes_us_ask_for_writing(text: str) -> None:
    for scope in _reading_scopes(text):
        resource, _, actions = scope.rpartition(":")
        assert set(actions.split(",")) <= {"pull", "metadata_read"} or resource == "registry:catalog"


async def test_redirects_to_another_host_carry_no_authorization() -> None:
    registry = TokenRegistry()

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example":
            return answer_manifest(MANIFEST)
        answer = registry(request)
        if answer.status_code == 200 and "/v2/" in request.url.path:
            return httpx.Response(307, headers={"Location": "https://storage.example/x?signature=abc"})
        return answer

    script = Script(serve)
    await client_of(script, credential=CREDENTIAL).resolve("a/b", "1")
    last = script.requests[-1]
    assert last.url.host == "storage.example"
    assert "authorization" not in last.headers


async def test_storage_that_refuses_is_not_sent_a_credential_and_its_signature_does_not_show() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example":
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return httpx.Response(307, headers={"Location": "https://storage.example/x?signature=abc"})

    script = Script(serve)
    with pytest.raises(AuthenticationError, match="storage") as caught:
        await client_of(script, credential=CREDENTIAL).manifest("a/b", "1")
    assert "signature" not in str(caught.value)
    assert len(script.requests) == 2


async def test_a_secret_that_a_server_repeats_does_not_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    registry = TokenRegistry()

    def serve(request: httpx.Request) -> httpx.Response:
        answer = registry(request)
        if answer.status_code == 200 and "/v2/" in request.url.path:
            told = f"you sent {request.headers['authorization']} and {PASSWORD}"
            return httpx.Response(403, json={"errors": [{"code": "DENIED", "message": told}]})
        return answer

    client = client_of(serve, credential=CREDENTIAL)
    with pytest.raises(AuthenticationError, match="DENIED you sent Bearer") as caught:
        await client.manifest("a/b", "1")
    shown = f"{caught.value} {caught.value!r} {client!r} {client.__dict__!r} {caplog.text}"
    for secret in (PASSWORD, "token-1", CREDENTIAL.basic.partition(" ")[2]):
        assert secret not in shown


class RefreshingServer(TokenRegistry):
    """A token server that hands out refresh tokens, and takes them as long as it is told to."""

    def __init__(self, *, posts: int = 200) -> None:
        super().__init__()
        self.posts = posts
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/token"):
            return super().__call__(request)
        self.asked.append(request.method)
        if request.method == "POST":
            form = parse_qs(request.content.decode())
            assert form["refresh_token"] == ["refresh-secret"]
            if self.posts != 200:
                return httpx.Response(self.posts)
        elif request.headers.get("authorization") != CREDENTIAL.basic:
            return httpx.Response(401)
        answer = super().__call__(request).json()
        return httpx.Response(200, json={**answer, "refresh_token": "refresh-secret"})


async def test_a_password_travels_once_where_the_server_gives_a_refresh_token() -> None:
    server = RefreshingServer()
    script = Script(server)
    client = client_of(script, credential=CREDENTIAL)
    for repository in ("a", "b", "c"):
        await client.resolve(repository, "1")
    assert server.asked == ["GET", "POST", "POST"]
    assert [r.headers.get("authorization") for r in script.requests].count(CREDENTIAL.basic) == 1
    assert client._authenticator.redact("it said refresh-secret") == "it said [secret]"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_a_refresh_token_that_is_not_taken_gives_way_to_the_password(status: int) -> None:
    server = RefreshingServer(posts=status)
    client = client_of(server, credential=CREDENTIAL)
    for repository in ("a", "b"):
        await client.resolve(repository, "1")
    assert server.asked == ["GET", "POST", "GET"]


async def test_an_anonymous_visitor_asks_for_no_refresh_token() -> None:
    script = Script(TokenRegistry())
    await client_of(script).resolve("a/b", "1")
    assert "offline_token" not in script.requests[1].url.params


async def test_a_password_of_twelve_hours_is_read_again_when_the_token_server_refuses_it() -> None:
    registry = TokenRegistry()
    current = CREDENTIAL

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token" and request.headers.get("authorization") != current.basic:
            return httpx.Response(401)
        return registry(request)

    script = Script(serve)
    client = client_of(script, credential=CREDENTIAL)
    await client.resolve("a", "1")
    source = client._authenticator._credentials
    assert isinstance(source, FixedCredentials)
    current = source.credential = Credential("oauth2accesstoken", "of the next hour")
    await client.resolve("b", "1")
    assert source.asked == 2
    current = Credential(USER, "of somebody else")
    script.requests.clear()
    with pytest.raises(AuthenticationError, match="refuses the credential"):
        await client.resolve("c", "1")
    assert sum(request.url.path == "/token" for request in script.requests) == 1


async def test_a_token_that_reaches_too_little_is_told_apart_from_a_wrong_password() -> None:
    registry = TokenRegistry(error="insufficient_scope")
    client = client_of(
        lambda r: registry(r) if "token" in r.url.path else registry(httpx.Request("HEAD", r.url)),
        credential=CREDENTIAL,
    )
    with pytest.raises(AuthenticationError, match="the token that we were given, which does not reach this"):
        await client.resolve("a/b", "1")


async def test_a_users_token_is_sent_as_ngc_wants_it() -> None:
    registry = TokenRegistry("https://registry.example/proxy_auth?account=$oauthtoken")
    script = Script(registry)
    await client_of(script, credential=Credential("$oauthtoken", "nvapi-secret")).resolve("nim/meta/llama", "1")
    sent = script.requests[1]
    assert base64.b64decode(sent.headers["authorization"].partition(" ")[2]) == b"$oauthtoken:nvapi-secret"
    assert sent.url.query.startswith(b"account=$oauthtoken&service=reg&scope=repository%3Anim%2Fmeta%2Fllama%3Apull")


async def test_after_a_token_ran_out_another_realm_of_the_old_challenge_is_not_followed() -> None:
    """NGC's 401 to a token that ran out names a realm that refuses anonymous refresh; the one to no token is good."""
    good = TokenRegistry()

    def serve(request: httpx.Request) -> httpx.Response:
        if "/v2/" in str(request.url) and "authorization" in request.headers:
            _, _, token = request.headers["authorization"].partition(" ")
            if token not in good.good:
                return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://authn.example/token"'})
        assert request.url.host != "authn.example"
        return good(request)

    client = client_of(serve)
    await client.resolve("a/b", "1")
    good.good.clear()
    await client.resolve("a/b", "1")
    assert good.given == 2


@pytest.mark.parametrize(
    ("url", "realm"),
    [
        ("https://docker.io", "https://auth.docker.io/token"),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
    ],
)
async def test_token_servers_that_registries_are_known_for_need_no_mention(url: str, realm: str) -> None:
    script = Script(TokenRegistry(realm))
    config = RegistryConfig(name="reg", url=url)
    await client_of(script, credential=CREDENTIAL, config=config).resolve("a/b", "1")
    assert script.requests[1].headers["authorization"] == CREDENTIAL.basic
    other = client_of(TokenRegistry("https://auth.example/token"), credential=CREDENTIAL, config=config)
    with pytest.raises(AuthenticationError, match="credential_realms"):
        await other.resolve("a/b", "1")


async def test_what_is_known_of_a_registry_spares_each_further_repository_a_request() -> None:
    script = Script(TokenRegistry())
    client = client_of(script, credential=CREDENTIAL)
    await client.resolve("a", "1")
    script.requests.clear()
    await asyncio.gather(*(client.resolve(name, str(tag)) for name in ("b", "c") for tag in range(4)))
    asked = [request for request in script.requests if "/token" in request.url.path]
    assert sorted(request.url.params["scope"] for request in asked) == ["repository:b:pull", "repository:c:pull"]
    assert len(script.requests) == 2 + 8
    assert all("authorization" in request.headers for request in script.requests)


@pytest.mark.parametrize("answer", [401, 404, 500, 200])
async def test_what_was_known_too_soon_gives_way_to_what_the_registry_says_now(answer: int) -> None:
    """Each repository of this registry has a token server of its own, and the other's is no use."""

    def serve(request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if path in {"/token/a", "/token/b"}:
            own = query["scope"] == f"repository:{path[-1]}:pull"
            return httpx.Response(200, json={"token": path[-1]}) if own else httpx.Response(answer, json={"token": "x"})
        repository = path.split("/")[2]
        if request.headers.get("authorization") == f"Bearer {repository}":
            return answer_manifest(MANIFEST)
        challenge = f'Bearer realm="https://registry.example/token/{repository}",scope="repository:{repository}:pull"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    client = client_of(serve, credential=CREDENTIAL)
    for repository in ("a", "b", "a", "b"):
        await client.resolve(repository, "1")
