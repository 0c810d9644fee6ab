"""Notices reach a real HTTP server and a real program, once, and failures are told until they are mended."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

from backend.config import load_configuration
from backend.core.actors import WORKER
from backend.curation import store
from backend.curation.emergency import break_glass
from backend.flows.notifications import Notifications
from backend.yard import Yard, YardOptions
from tests.fakes.curation import digest_number, image, permit, person
from tests.fakes.ports import FixedClock, NumberedIds

SECRET = "shared between two"
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def no_waits() -> Any:
    """Repetitions within an attempt come at once."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


class Receiver:
    """An HTTP server that keeps what it is sent; it answers with the statuses given, then with the last again."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        location = "Location: http://127.0.0.1:9/elsewhere\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(*statuses)
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{port}/hooks/modelyard"
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()


class Place:
    """A yard in a folder, opened anew as a restart does."""

    def __init__(self, folder: Path, clock: FixedClock, ids: NumberedIds, notify: str) -> None:
        self.folder, self.clock, self.ids = folder, clock, ids
        self.yard: Yard | None = None
        text = '[yard]\nname = "production"\n[policy]\nbreak_glass = "7d"\n[[cluster]]\ncontext = "none"\n'
        (folder / "config.toml").write_text(text + notify, encoding="utf-8")

    async def open(self) -> Notifications:
        await self.close()
        file = self.folder / "config.toml"
        configuration = await asyncio.to_thread(load_configuration, file, system_policy=self.folder / "none.toml")
        options = YardOptions(database=self.folder / "yard.db")
        self.yard = await Yard.open(configuration, options, clock=self.clock, ids=self.ids)
        return Notifications(self.yard._foundation)

    async def close(self) -> None:
        if self.yard is not None:
            await self.yard.close()

    async def submit(self, *numbers: int) -> None:
        assert self.yard is not None
        async with self.yard._foundation.database.transaction() as transaction:
            for number in numbers:
                await store.submit(
                    transaction, image(digest_number(number)), actor=WORKER, at=self.clock.now(), rule="nim"
                )

    async def break_glass(self, number: int) -> None:
        assert self.yard is not None
        foundation, digest = self.yard._foundation, digest_number(number)
        async with foundation.database.transaction() as transaction:
            await break_glass(
                transaction, permit("queue.break-glass", person("mira"), digest), facts=image(digest),
                reason="outage", ticket="INC-\x1b[31m7", until=self.clock.now() + timedelta(days=1),
                policy=foundation.policy, ids=self.ids, at=self.clock.now(),
            )  # fmt: skip


@asynccontextmanager
async def place(tmp_path: Path, clock: FixedClock, ids: NumberedIds, notify: str) -> AsyncIterator[Place]:
    here = Place(tmp_path, clock, ids, notify)
    try:
        yield here
    finally:
        await here.close()


def _webhook(url: str, rest: str = "") -> str:
    return f'[[notify.target]]\nkind = "webhook"\nname = "hook"\nurl = "{url}"\ninsecure = true\n{rest}'


async def test_what_waits_is_posted_once_and_signed(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    async with receiving() as receiver:
        notify = _webhook(receiver.url, 'secret = { env = "HOOK_SECRET" }\n')
        async with place(tmp_path, clock, ids, notify) as here:
            telling = await here.open()
            await here.submit(1, 2)
            await telling.round()
            await telling.round()
            assert [body["count"] for body in receiver.bodies] == [2]
            headers, body = receiver.got[0]
            signed = headers["x-modelyard-timestamp"].encode() + b"." + body
            expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            assert headers["x-modelyard-signature"] == f"sha256={expected}"
            assert int(headers["x-modelyard-timestamp"]) == int(clock.now().timestamp())
            told = json.loads(body)
            assert (told["event"], told["yard"], told["text"]) == (
                "waiting", "production", "2 candidates wait for a decision",
            )  # fmt: skip
            assert headers["x-modelyard-delivery"] == told["id"]
            # After a restart nothing is told again, and what is new is told by itself.
            telling = await here.open()
            await telling.round()
            await here.submit(3)
            clock.advance(seconds=10)
            await telling.round()
            assert [body["count"] for body in receiver.bodies] == [2, 1]
            assert [(check.state, check.name) for check in await telling.checks()] == [("ok", "notify hook")]


async def test_an_address_that_is_a_secret_stands_in_no_message(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving(500) as receiver:
        (tmp_path / "url").write_text(f"{receiver.url}/T0K3N\n", encoding="ascii")
        notify = '[[notify.target]]\nkind = "webhook"\nurl = { file = "url" }\ninsecure = true\n'
        async with place(tmp_path, clock, ids, notify) as here:
            telling = await here.open()
            await here.submit(1)
            await telling.round()
            assert len(receiver.got) == 2
            (tmp_path / "url").write_text("http://127.0.0.1:9/T0K3N", encoding="ascii")
            clock.advance(minutes=2)
            await telling.round()
            (tmp_path / "url").write_text("ftp://T0K3N", encoding="ascii")
            clock.advance(hours=2)
            await telling.round()
            # The log of httpx names whole addresses; ours leaves that logger out below warnings.
            logged = [record.getMessage() for record in caplog.records if record.name != "httpx"]
            told = f"{await telling.checks()} {logged}"
            assert "starts with https://" in told
            assert "T0K3N" not in told


async def test_two_processes_that_both_believe_in_their_lease_send_it_once(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds
) -> None:
    async with receiving() as receiver:
        notify = _webhook(receiver.url)
        async with place(tmp_path, clock, ids, notify) as one, place(tmp_path, clock, ids, notify) as other:
            telling = [await one.open(), await other.open()]
            await one.submit(*range(30))
            await asyncio.gather(*(each.round() for each in telling))
            await asyncio.gather(*(each.round() for each in telling))
            assert [body["count"] for body in receiver.bodies] == [30]
            assert len(receiver.bodies[0]["items"]) == 20


async def test_what_fails_is_told_tried_again_and_never_lost(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds
) -> None:
    async with receiving(503, 503, 204) as receiver, place(tmp_path, clock, ids, _webhook(receiver.url)) as here:
        telling = await here.open()
        await here.submit(1)
        await telling.round()
        assert len(receiver.got) == 2
        check = (await telling.checks())[0]
        assert (check.state, "it answered 503" in check.detail, "1 waiting" in check.detail) == ("failed", True, True)
        assert here.yard is not None
        await here.yard._status.refresh()
        assert [source.name for source in here.yard.status().sources if source.kind == "notify"] == ["notify hook"]
        # Not before its time, but after a restart.
        telling = await here.open()
        await telling.round()
        assert len(receiver.got) == 2
        clock.advance(minutes=2)
        await telling.round()
        assert len(receiver.got) == 3
        assert len({headers["x-modelyard-delivery"] for headers, _ in receiver.got}) == 1
        assert [check.state for check in await telling.checks()] == ["ok"]
        await here.yard._status.refresh()
        assert [source for source in here.yard.status().sources if source.kind == "notify"] == []


async def test_after_two_days_it_is_given_up_and_still_told(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds
) -> None:
    async with receiving(404) as receiver, place(tmp_path, clock, ids, _webhook(receiver.url)) as here:
        telling = await here.open()
        await here.submit(1)
        for _ in range(12):
            await telling.round()
            clock.advance(days=1, minutes=1)
        assert len(receiver.got) == 9
        check = (await telling.checks())[0]
        assert check.state == "failed"
        assert "1 given up" in check.detail


async def test_a_redirect_is_not_followed_and_nobody_listening_is_no_end(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds
) -> None:
    async with receiving(302) as receiver:
        notify = (
            _webhook(receiver.url)
            + '[[notify.target]]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\ninsecure = true\n'
        )
        async with place(tmp_path, clock, ids, notify) as here:
            telling = await here.open()
            await here.submit(1)
            await telling.round()
            details = {check.name: check.detail for check in await telling.checks()}
            assert "redirects are not followed" in details["notify hook"]
            assert "cannot be reached" in details["notify webhook 2"]
            assert "Traceback" not in str(details)


async def test_only_what_was_asked_for_and_glass_with_its_ticket(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds
) -> None:
    async with (
        receiving() as receiver,
        place(tmp_path, clock, ids, _webhook(receiver.url, 'events = ["break-glass"]\n')) as here,
    ):
        telling = await here.open()
        await here.submit(1, 2)
        await telling.round()
        assert receiver.got == []
        await here.break_glass(1)
        clock.advance(seconds=10)
        await telling.round()
        assert [body["event"] for body in receiver.bodies] == ["break-glass"]
        assert "mira broke the glass for ngc/nim/meta/llama@" in receiver.bodies[0]["text"]
        assert "INC-7" in receiver.bodies[0]["text"]
        assert "\x1b" not in receiver.bodies[0]["text"]


def _command(script: Path, rest: str = "") -> str:
    return f'[[notify.target]]\nkind = "command"\ncommand = ["{sys.executable}", "{script}"]\n{rest}'


async def test_a_program_reads_the_notice_and_none_of_our_secrets(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGC_API_KEY", "very secret")
    script, written = tmp_path / "page.py", tmp_path / "told.json"
    script.write_text(
        f"import json, os, sys\njson.dump([json.load(sys.stdin), dict(os.environ)], open({str(written)!r}, 'w'))\n",
        encoding="utf-8",
    )
    async with place(tmp_path, clock, ids, _command(script)) as here:
        telling = await here.open()
        await here.submit(1)
        await telling.round()
        notice, environment = json.loads(written.read_text(encoding="utf-8"))
        assert (notice["event"], notice["count"], len(notice["items"])) == ("waiting", 1, 1)
        assert environment["MODELYARD_EVENT"] == "waiting"
        assert "very secret" not in str(environment)
        assert [check.state for check in await telling.checks()] == ["ok"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys; sys.exit('the pager \\x1b[31mrefused')", "it ended with status 1: the pager refused"),
        ("import time, os; os.fork(); time.sleep(30)", "it took longer than 0.5 s and was ended"),
        ("import os; os.close(0); print('x' * 300000)", "1 sent"),
    ],
)
async def test_a_program_that_fails_hangs_or_does_not_listen(
    tmp_path: Path, clock: FixedClock, ids: NumberedIds, script: str, told: str
) -> None:
    (tmp_path / "page.py").write_text(script, encoding="utf-8")
    async with place(tmp_path, clock, ids, _command(tmp_path / "page.py", 'limit = "500ms"\n')) as here:
        telling = await here.open()
        await here.submit(1)
        await telling.round()
        assert told in (await telling.checks())[0].detail
        assert _running(str(tmp_path / "page.py")) == []


def _running(script: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if script.encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
    return found


async def test_a_program_that_is_not_there_is_told(tmp_path: Path, clock: FixedClock, ids: NumberedIds) -> None:
    notify = '[[notify.target]]\nkind = "command"\ncommand = ["./not-there"]\n'
    async with place(tmp_path, clock, ids, notify) as here:
        telling = await here.open()
        await here.submit(1)
        await telling.round()
        assert "it cannot be started: No such file" in (await telling.checks())[0].detail
