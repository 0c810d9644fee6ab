"""What a `[[registry]]` table may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from backend.core.settings import SecretReference
from backend.registry.config import RegistryConfig

SECRET = SecretReference(env="X")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://nvcr.io", "nvcr.io"),
        ("https://NVCR.io/", "nvcr.io"),
        ("https://registry.example:5000", "registry.example:5000"),
        ("https://[::1]:5000", "[::1]:5000"),
    ],
)
def test_the_host_of_references_comes_from_the_url(url: str, host: str) -> None:
    assert RegistryConfig(name="a", url=url).host == host


@pytest.mark.parametrize(
    "url",
    [
        "nvcr.io", "ftp://nvcr.io", "https://", "https://a/b", "https://a?b", "https://a#b", "https://a:port",
        "https://a:99999", "https://[::1", "https://user@a", "http://a", "https://a b",
    ],
)  # fmt: skip
def test_what_is_no_registry_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        RegistryConfig(name="a", url=url)


@pytest.mark.parametrize(
    "values",
    [
        {"insecure": True},
        {"username": "robin"},
        {"password": SECRET},
        {"username": "robin", "password": "plain text"},
        {"max_concurrency": 0},
        {"max_concurrency": 1000},
        {"timeout": "0s"},
        {"timeout": "2h"},
        {"requests_per_second": 0},
        {"credential_realms": ("https://auth.example",)},
        {"name": "a/b"},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RegistryConfig.model_validate({"name": "a", "url": "https://a.example", **values})


def test_plain_http_is_taken_when_asked_for() -> None:
    config = RegistryConfig(name="local", url="http://127.0.0.1:5000", insecure=True)
    assert config.host == "127.0.0.1:5000"
    assert config.timeout.total_seconds() == 30
