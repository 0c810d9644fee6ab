"""The report that a Harbor keeps of an artifact, as its API gives it."""

from __future__ import annotations

import httpx
import pytest

from backend.core.errors import AuthenticationError, ModelyardError
from backend.registry.credentials import Credential
from tests.fakes.curation import DIGEST
from tests.fakes.registry import PASSWORD, USER, Script, client_of, configured

CREDENTIAL = Credential(USER, PASSWORD)
REPORT = b'{"application/vnd.security.vulnerability.report; version=1.1": {}}'


async def test_a_harbor_is_asked_by_digest_with_the_repositorys_slashes_encoded_twice() -> None:
    script = Script(lambda request: httpx.Response(200, content=REPORT))
    client = client_of(script, credential=CREDENTIAL, config=configured(kind="harbor"))
    assert await client.scan_report("team/llm/llama", DIGEST, 1000) == REPORT
    (request,) = script.requests
    assert request.url.raw_path.decode() == (
        f"/api/v2.0/projects/team/repositories/llm%252Fllama/artifacts/{DIGEST}/additions/vulnerabilities"
    )
    assert request.headers["authorization"] == CREDENTIAL.basic


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (200, b"{}\n")])
async def test_what_was_not_scanned_has_no_report(status: int, body: bytes) -> None:
    client = client_of(lambda request: httpx.Response(status, content=body), config=configured(kind="harbor"))
    assert await client.scan_report("team/llama", DIGEST, 1000) is None


async def test_a_refusal_is_told_and_another_registry_is_not_asked() -> None:
    refusing = client_of(lambda request: httpx.Response(403), config=configured(kind="harbor"))
    with pytest.raises(AuthenticationError):
        await refusing.scan_report("team/llama", DIGEST, 1000)
    broken = client_of(lambda request: httpx.Response(500), config=configured(kind="harbor"))
    with pytest.raises(ModelyardError):
        await broken.scan_report("team/llama", DIGEST, 1000)
    script = Script(lambda request: httpx.Response(200, content=REPORT))
    assert await client_of(script, config=configured()).scan_report("team/llama", DIGEST, 1000) is None
    assert not script.requests
