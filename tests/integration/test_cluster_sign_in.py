"""What becomes of us to an API server: tokens that expire, people who sign in anew, clocks that differ.

Nothing waits for real back-offs: they are noted, and pass at once.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.watch import Changed, Regained
from backend.core.errors import (
    AuthenticationError,
)
from backend.demo.kubernetes.users import DemoUser, Rule
from tests.fakes.cluster_server import write_kubeconfig
from tests.fakes.faulty_cluster import NAMESPACE, faulty
from tests.fakes.ports import FixedClock

# ------------------------------------------------------------ who we are


def _plugin(folder: Path, token_file: Path, counter: Path) -> dict[str, Any]:
    """A sign-in program that gives what a file holds, and fails while there is none."""
    program = folder / "sign-in"
    program.write_text(
        "#!/bin/sh\n"
        f'echo x >> "{counter}"\n'
        f'test -f "{token_file}" || {{ echo "the session ended" >&2; exit 1; }}\n'
        'printf \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        f'"status": {{"token": "%s"}}}}\' "$(cat "{token_file}")"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}}


async def test_an_expired_token_is_renewed_by_its_plugin_while_a_watch_is_open(tmp_path: Path) -> None:
    token, counter = tmp_path / "token", tmp_path / "count"
    token.write_text("first", encoding="utf-8")
    everything = (Rule(("*",), ("*",), ("*",)),)
    users = {"first": DemoUser(name="admin", rules=everything), "second": DemoUser(name="admin", rules=everything)}
    clock = FixedClock(datetime.now(UTC))
    plugin = _plugin(tmp_path, token, counter)
    async with faulty(tmp_path, users=users, user=plugin, clock=clock) as yard, yard.watching():
        del users["first"]
        token.write_text("second", encoding="utf-8")
        clock.advance(minutes=1)
        yard.proxy.cut()
        await yard.until(Regained)
        yard.put("still-seen")
        assert (await yard.until(Changed)).object.metadata.name == "still-seen"
        assert counter.read_text(encoding="utf-8").count("x") == 2


async def test_a_sign_in_that_ended_is_told_and_over_when_somebody_signs_in(tmp_path: Path) -> None:
    token, counter = tmp_path / "token", tmp_path / "count"
    token.write_text("first", encoding="utf-8")
    everything = (Rule(("*",), ("*",), ("*",)),)
    users = {"first": DemoUser(name="admin", rules=everything), "second": DemoUser(name="admin", rules=everything)}
    clock = FixedClock(datetime.now(UTC))
    plugin = _plugin(tmp_path, token, counter)
    async with faulty(tmp_path, users=users, user=plugin, clock=clock) as yard:
        await yard.client.version()
        del users["first"]
        token.unlink()
        clock.advance(minutes=1)
        results = await asyncio.gather(
            *(yard.client.list(INFERENCE_SERVICES, NAMESPACE) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(result, AuthenticationError) for result in results)
        assert "the session ended" in str(results[0])
        # Five requests found the token wanting, and the program ran once for them all.
        assert counter.read_text(encoding="utf-8").count("x") == 2
        token.write_text("second", encoding="utf-8")
        clock.advance(minutes=1)
        await yard.client.list(INFERENCE_SERVICES, NAMESPACE)


async def test_a_new_token_in_the_kubeconfig_is_taken_up(tmp_path: Path) -> None:
    everything = (Rule(("*",), ("*",), ("*",)),)
    users = {"first": DemoUser(name="admin", rules=everything)}
    async with faulty(tmp_path, users=users, user={"token": "first"}) as yard:
        await yard.client.version()
        users.pop("first")
        users["second"] = DemoUser(name="admin", rules=everything)
        with pytest.raises(AuthenticationError):
            await yard.client.list(INFERENCE_SERVICES, NAMESPACE)
        write_kubeconfig(tmp_path / "config", yard.proxy.url, {"me": {"token": "second"}})
        await yard.client.list(INFERENCE_SERVICES, NAMESPACE)


async def test_a_kubeconfig_that_leads_elsewhere_now_is_not_followed(tmp_path: Path) -> None:
    everything = (Rule(("*",), ("*",), ("*",)),)
    users = {"first": DemoUser(name="admin", rules=everything)}
    async with faulty(tmp_path, users=users, user={"token": "first"}) as yard:
        users.clear()
        write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {"me": {"token": "second"}})
        with pytest.raises(AuthenticationError):
            await yard.client.list(INFERENCE_SERVICES, NAMESPACE)
        assert yard.client.connection.context.server == yard.proxy.url


# ------------------------------------------------------------ time


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(seconds=95), "the cluster's clock is 95 s ahead of ours"),
        (timedelta(minutes=-7), "the cluster's clock is 7 min behind ours"),
        (timedelta(seconds=3), ""),
    ],
)
async def test_clocks_that_differ_are_told(tmp_path: Path, ahead: timedelta, words: str) -> None:
    clock = FixedClock(datetime(2026, 11, 20, 12, tzinfo=UTC))

    @web.middleware
    async def dated(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        answer.headers["Date"] = format_datetime(clock.now() + ahead, usegmt=True)
        return answer

    async with faulty(tmp_path, clock=clock, middleware=dated) as yard:
        assert yard.client.clock_trouble == ""
        await yard.client.version()
        assert yard.client.clock_trouble == words
