"""Library and audit: lists, details and what their keys do."""

from __future__ import annotations

import msgspec

from backend.core.views import ImageState
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.header import count, summary_line, title_line
from tui.model import Model
from tui.panes.library.news import news


def _plain(line: tuple[tuple[str, str], ...]) -> str:
    return "".join(text for text, _ in line)


# ---------------------------------------------------------------- library


def test_news_tell_what_moved_went_and_fails() -> None:
    rows = news(data.images(), data.status().sources, [], data.NOW)
    told = {(row.what, row.name) for row in rows}
    assert ("FAILED", "quay") in told
    assert ("moved", "nim/meta/llama-3.1-8b:1.3") in told
    assert ("new", "vllm/vllm-openai:v0.27.1") in told
    assert ("gone", "nim/old/falcon:0.9") in told


# ---------------------------------------------------------------- audit


async def test_the_ledger_is_read_when_it_is_looked_at_and_grows() -> None:
    async with desk(size=(120, 40)) as table:
        assert not table.yard.called("entries")
        await table.press("5")
        await table.sees("5 AUDIT 40", "deploy.apply")
        table.yard.append(msgspec.structs.replace(data.ledger()[0], seq=41, action="queue.revoke"))
        await table.sees("5 AUDIT 41", "queue.revoke")
        await table.press("enter")
        await table.sees("Entry 40" if "Entry 40" in table.text() else "Entry 4", "Chain")


# ---------------------------------------------------------------- the bars


def test_the_title_gives_way_from_the_least_important() -> None:
    model = Model(status=data.status(), opening=False, as_of=data.NOW)
    wide = _plain(title_line(model, data.NOW, 200, paused=False))
    assert all(
        word in wide
        for word in (
            "MODELYARD",
            "production",
            "prod-eu1",
            "opr-7 (cluster)",
            "approver operator",
            "WRITES ON",
            "not enforced",
            "worker bast-1",
            "as of 14:02 UTC",
        )
    )
    narrow = _plain(title_line(model, data.NOW, 80, paused=False))
    assert all(word in narrow for word in ("production", "opr-7", "WRITES ON", "quay refused"))
    assert len(narrow) <= 80
    for width in range(20, 200, 7):
        assert len(_plain(title_line(model, data.NOW, width, paused=True))) <= max(width, 40)


def test_unrestricted_and_writes_off_stand_out() -> None:
    model = Model(status=data.status(unrestricted=True, writes="opened read-only"), opening=False)
    shown = _plain(title_line(model, data.NOW, 160, paused=False))
    assert "unrestricted" in shown
    assert "READ-ONLY" in shown
    assert "opened read-only" in shown


def test_what_is_not_known_is_no_zero_in_the_summary() -> None:
    shown = _plain(summary_line(count(Model(), data.NOW), data.NOW, 160))
    assert "BROKEN –" in shown
    assert "FOR ME –" in shown


async def test_counts_are_those_of_what_is_listed() -> None:
    async with desk(FakeYard(), size=(160, 45)) as table:
        await table.sees(
            "BROKEN 2", "SLOW 1", "FOR ME 4 (oldest 2d)", "IDLE 9/64 GPUs", "UNAPPROVED RUNNING 1", "CHANGED 1h 5"
        )
        assert sum(image.state is ImageState.APPROVED for image in table.yard.image_views) == 8
