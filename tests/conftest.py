"""What all tests share: a clock that is set by hand, numbered identifiers, and where the shared data is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from tests.fakes.ports import FixedClock, NumberedIds

# How long an example takes is the machine's affair: a busy one fails no property.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon of 20 November 2026 until a test moves it."""
    return FixedClock(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


@pytest.fixture
def ids() -> NumberedIds:
    """Identifiers that count up."""
    return NumberedIds()


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a home of its own, so that none reads or writes the developer's configuration."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MODELYARD_CONFIG", "KUBECONFIG", "DOCKER_CONFIG", "SSH_CONNECTION", "SSH_CLIENT"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data; tests that need it skip where it is not."""
    folder = Path(os.environ.get("MODELYARD_SHARED") or Path(__file__).parents[1].parent / "shared")
    if not (folder / "wire").is_dir():
        pytest.skip("no shared data: set MODELYARD_SHARED")
    return folder


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """A call of ours that blocks an event loop (files, sockets, sleep) fails the test.

    Scoped to the back: Textual reads its style sheets on the loop beneath the screen's own frames, the demo's servers
    are not the program, and kubernetes' loader of credentials runs on a loop of its own, in a thread.
    """
    excluded = ["backend.demo", "backend.cluster.credentials", "tests"]
    with blockbuster_ctx(scanned_modules=["backend"], excluded_modules=excluded):
        yield
