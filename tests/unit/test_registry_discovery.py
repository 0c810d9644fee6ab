"""How repositories are found for rules with wildcards, registry by registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LimitExceededError,
    ModelyardError,
    NotFoundError,
    UnreachableError,
)
from backend.registry import discovery
from backend.registry.check import check
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credential
from backend.registry.discovery import kind_of, namespaces_of
from tests.fakes.registry import PASSWORD, USER, Script, client_of, configured

CREDENTIAL = Credential(USER, PASSWORD)
HUB = RegistryConfig(name="hub", url="https://registry-1.docker.io")
QUAY = RegistryConfig(name="quay", url="https://quay.io")
NGC = RegistryConfig(name="ngc", url="https://nvcr.io")


@pytest.mark.parametrize(
    ("globs", "namespaces"),
    [
        (["nim/meta/*", "nim/nvidia/**", "library/python"], ("nim",)),
        (["a/*", "b/c?"], ("a", "b")),
        (["**"], None),
        (["a/*", "*/b"], None),
        (["n?m/x"], None),
        (["a/b"], ()),
        ([], ()),
    ],
)
def test_a_pattern_tells_the_namespace_that_it_is_in(globs: list[str], namespaces: tuple[str, ...] | None) -> None:
    assert namespaces_of(globs) == namespaces


@given(st.lists(st.text(alphabet="ab/*?", min_size=1, max_size=8), max_size=5))
def test_no_pattern_with_a_wildcard_is_left_without_its_namespace(globs: list[str]) -> None:
    found = namespaces_of(globs)
    for glob in globs:
        if "*" in glob or "?" in glob:
            assert found is None or any(glob.startswith(f"{one}/") for one in found)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (HUB, "dockerhub"),
        (QUAY, "quay"),
        (NGC, "ngc"),
        (configured(), "auto"),
        (configured(kind="harbor"), "harbor"),
        (RegistryConfig(name="q", url="https://quay.io", kind="generic"), "generic"),
    ],
)
def test_well_known_registries_are_known_by_their_host(config: RegistryConfig, kind: str) -> None:
    assert kind_of(config) == kind


class Harbor:
    """A Harbor: projects by page, `_catalog` for nobody, more for who shows a password."""

    def __init__(self, *, links: bool = True) -> None:
        self.projects = {"open": [f"open/{number:03}" for number in range(230)]}
        self.private = {"team": ["team/llm/llama", "team/tools"]}
        self.links = links

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.startswith("/v2/"):
            realm = 'Bearer realm="https://registry.example/service/token",service="harbor-registry"'
            return httpx.Response(401, headers={"WWW-Authenticate": realm})
        if path == "/service/token":
            return httpx.Response(200, json={"token": "good-for-nothing"})
        known = {**self.projects}
        if request.headers.get("authorization") == CREDENTIAL.basic:
            known |= self.private
        elif "authorization" in request.headers:
            return httpx.Response(401, json={"errors": [{"code": "UNAUTHORIZED", "message": "no"}]})
        if path == "/api/v2.0/projects":
            return self._page(request, sorted(known))
        project = path.removeprefix("/api/v2.0/projects/").removesuffix("/repositories")
        if project not in known:
            return httpx.Response(404, json={"errors": [{"code": "NOT_FOUND", "message": "no project"}]})
        return self._page(request, known[project])

    def _page(self, request: httpx.Request, names: list[str]) -> httpx.Response:
        page, size = int(request.url.params["page"]), int(request.url.params["page_size"])
        part = names[(page - 1) * size : page * size]
        headers = {"X-Total-Count": str(len(names))}
        if self.links and page * size < len(names):
            headers["Link"] = f'<{request.url.path}?page={page + 1}&page_size={size}>; rel="next"'
        return httpx.Response(200, json=[{"name": name, "description": "x"} for name in part], headers=headers)


@pytest.mark.parametrize("kind", ["auto", "harbor"])
@pytest.mark.parametrize("links", [True, False])
async def test_a_harbor_is_read_project_by_project_and_page_by_page(kind: str, links: bool) -> None:
    harbor = Harbor(links=links)
    client = client_of(harbor, credential=CREDENTIAL, config=configured(kind=kind))
    assert await client.catalog() == [*harbor.projects["open"], *harbor.private["team"]]


async def test_only_the_projects_that_patterns_name_are_asked_for() -> None:
    script = Script(Harbor())
    client = client_of(script, credential=CREDENTIAL, config=configured(kind="harbor"))
    assert await client.catalog(["team/**", "gone/*", "open/named"]) == ["team/llm/llama", "team/tools"]
    assert [urlsplit(line.partition(" ")[2]).path for line in script.lines] == [
        "/api/v2.0/projects/team/repositories",
        "/api/v2.0/projects/gone/repositories",
    ]
    assert all(request.headers["authorization"] == CREDENTIAL.basic for request in script.requests)


async def test_a_harbor_shows_what_is_public_to_who_has_no_password_or_a_wrong_one() -> None:
    for credential in (None, Credential(USER, "wrong"), Credential("", "", "identity")):
        client = client_of(Harbor(), credential=credential, config=configured(kind="harbor"))
        assert await client.catalog(["team/*", "open/*"]) == Harbor().projects["open"]


async def test_a_password_that_a_harbor_refuses_is_not_sent_with_every_page() -> None:
    script = Script(Harbor())
    client = client_of(script, credential=Credential(USER, "wrong"), config=configured(kind="harbor"))
    await client.catalog(["open/*"])
    assert sum("authorization" in request.headers for request in script.requests) == 1
    assert len(script.requests) == 4


async def test_a_harbor_whose_pages_do_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_PAGES", 50)
    page = json.dumps([{"name": "a/b"}] * 100).encode()
    endless = client_of(lambda r: httpx.Response(200, content=page), config=configured(kind="harbor"))
    with pytest.raises(LimitExceededError, match=r"catalogue of reg.*do not end"):
        await endless.catalog(["a/*"])


def hub(pages: dict[str, list[dict[str, Any]]]) -> Callable[[httpx.Request], httpx.Response]:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "hub.docker.com"
        assert "authorization" not in request.headers
        namespace = request.url.path.split("/")[3]
        if namespace not in pages:
            return httpx.Response(404, json={"message": "object not found"})
        page = int(request.url.params["page"])
        return httpx.Response(200, json=pages[namespace][page - 1])

    return serve


async def test_docker_hub_is_read_namespace_by_namespace_without_our_credential() -> None:
    pages: dict[str, list[dict[str, Any]]] = {
        "vllm": [
            {"count": 3, "next": "https://hub.docker.com/x", "results": [{"name": "vllm-openai", "namespace": "vllm"}]},
            {"count": 3, "next": None, "results": [{"name": "vllm-tpu-nightly"}, {"name": "../EVIL"}]},
        ]
    }
    client = client_of(hub(pages), credential=CREDENTIAL, config=HUB)
    assert await client.catalog(["vllm/*", "nobody/**"]) == ["vllm/vllm-openai", "vllm/vllm-tpu-nightly"]


async def test_quay_is_read_page_by_page_by_its_token() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        asked = dict(request.url.params)
        token = asked.pop("next_page", None)
        assert asked == {"namespace": "modh", "public": "true", "repo_kind": "image"}
        more = {} if token else {"next_page": "gAAA=="}
        name = "vllm" if token else "caikit"
        return httpx.Response(200, json={"repositories": [{"namespace": "modh", "name": name}], **more})

    client = client_of(serve, credential=CREDENTIAL, config=QUAY)
    assert await client.catalog(["modh/*"]) == ["modh/caikit", "modh/vllm"]


async def test_quay_that_pages_in_a_circle_is_given_up() -> None:
    client = client_of(lambda r: httpx.Response(200, json={"repositories": [], "next_page": "again"}), config=QUAY)
    with pytest.raises(LimitExceededError):
        await client.catalog(["modh/*"])


@pytest.mark.parametrize("config", [HUB, QUAY])
@pytest.mark.parametrize("globs", [["**"], ["a/*", "*/b"], []])
async def test_who_tells_a_namespace_only_is_not_asked_for_all(config: RegistryConfig, globs: list[str]) -> None:
    script = Script(lambda request: httpx.Response(500))
    with pytest.raises(ConfigurationError, match="namespace"):
        await client_of(script, config=config).catalog(globs)
    assert script.requests == []


async def test_ngc_is_searched_for_the_containers_of_an_organisation() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert (request.url.host, request.url.path) == (
            "api.ngc.nvidia.com",
            "/v2/search/catalog/resources/CONTAINER",
        )
        assert "authorization" not in request.headers
        asked = json.loads(request.url.params["q"])
        assert asked["query"] == "orgName:nim"
        found = [["nim/meta/llama-3.1-8b-instruct", "nim/nvidia/nv-embedqa-e5-v5"], ["nim/meta/llama3-70b"]]
        resources = [{"resourceId": one, "name": one.rpartition("/")[2]} for one in found[asked["page"]]]
        groups = [
            {"groupValue": "_scored", "resources": [{"resourceId": "not/a/container"}]},
            {"groupValue": "CONTAINER", "totalCount": 3, "resources": resources},
        ]
        return httpx.Response(200, json={"resultPageTotal": 2, "params": {"page": 0}, "results": groups})

    client = client_of(serve, credential=Credential("$oauthtoken", PASSWORD), config=NGC)
    assert await client.catalog(["nim/meta/*", "nim/nvidia/**"]) == [
        "nim/meta/llama-3.1-8b-instruct",
        "nim/nvidia/nv-embedqa-e5-v5",
        "nim/meta/llama3-70b",
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(403, json={"errors": [{"code": "DENIED", "message": "no"}]}), AuthenticationError),
        (httpx.Response(404, text="404 page not found"), NotFoundError),
        (httpx.Response(200, html="<html>sign in</html>"), NotFoundError),
    ],
)
async def test_a_registry_that_tells_nothing_says_what_to_write_instead(
    answer: httpx.Response, kind: type[ModelyardError]
) -> None:
    client = client_of(lambda r: httpx.Response(answer.status_code, content=answer.read(), headers=answer.headers))
    with pytest.raises(kind, match="name repositories without wildcards") as caught:
        await client.catalog(["team/*"])
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "body", [b"[1, 2]", b"{}", b'{"results": 3}', b"<html>", b'[{"name": 5}]', b"[" * 50_000, b"\xff", b"null"]
)
@pytest.mark.parametrize("config", [HUB, QUAY, NGC, configured(kind="harbor")])
async def test_nonsense_of_an_api_is_refused_or_taken_for_nothing(config: RegistryConfig, body: bytes) -> None:
    client = client_of(lambda r: httpx.Response(200, content=body), config=config)
    try:
        assert await client.catalog(["a/*"]) == []
    except ModelyardError as error:
        assert "catalogue of" in error.what


@pytest.mark.parametrize("config", [HUB, NGC])
async def test_an_api_beside_the_registry_that_is_down_says_nothing_of_the_registry(config: RegistryConfig) -> None:
    """Who cannot find new repositories can still ask for those that are known: an unreachable registry is another."""
    own = config.api.removeprefix("https://")
    up = {own}

    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.url.host in up else 429, headers={"Retry-After": "3600"})

    with pytest.raises(NotFoundError, match=r"catalogue of \w+ at .*name repositories without wildcards"):
        await client_of(serve, config=config).catalog(["vllm/*"])
    up.clear()
    with pytest.raises(UnreachableError, match="asks to wait"):
        await client_of(serve, config=config).catalog(["vllm/*"])


async def test_doctor_tells_how_repositories_are_found_and_what_docker_hub_lets_us_pull() -> None:
    script = Script(
        lambda r: httpx.Response(
            200,
            headers={
                "Content-Type": "application/vnd.oci.image.index.v1+json",
                "Docker-Content-Digest": f"sha256:{'0' * 64}",
                **(
                    {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
                    if "manifests" in str(r.url)
                    else {}
                ),
            },
        )
    )
    line = await check(client_of(script, config=HUB))
    assert line.state == "ok"
    assert "Docker Hub's public list of a namespace; 76 of 100 pulls in 6h left" in line.detail
    assert script.lines[-1] == "HEAD https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest"
