"""`python -m tests.pictures`: the README's pictures, taken of the program itself on the demo yard, into `.github/`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from backend.cli import demo
from backend.cli.options import GlobalOptions
from backend.cli.session import Session, logging_to_file, yard_options
from backend.config import load_configuration
from backend.core.logs import Redactor
from backend.core.views import ImageState
from backend.yard import ScreenRequest, Yard
from tui.app import ModelyardApp

_FOLDER = Path(__file__).parents[1] / ".github"
_SIZE = (140, 40)
_FONT_FACE = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
_WITHIN = 60.0


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_WITHIN):
        # What is waited for comes about in another process.
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.25)


async def _settled(yard: Yard) -> None:
    """The crew has decided, the watches have brought the services, and GPUs were sampled more than once."""

    async def decided() -> bool:
        states = [one.state for one in await yard.queue.candidates()]
        return ImageState.REJECTED in states and ImageState.APPROVED in states

    await _until(decided)

    async def watched() -> bool:
        return len(await yard.deployments.services()) > 10

    await _until(watched)
    await asyncio.sleep(3 * yard.gpus.interval.total_seconds())


def _save(app: ModelyardApp, name: str) -> None:
    """The picture, without the addresses of fonts that Rich names in it: a picture loads nothing from anywhere."""
    picture = _FONT_FACE.sub("", app.export_screenshot(title="modelyard demo"))
    picture = picture.replace("<text ", '<text xml:space="preserve" ')
    (_FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")
    sys.stdout.write(f"{name}.svg\n")


async def _keys(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await pilot.pause(0.7)


def _typed(text: str) -> list[str]:
    """The keys that type a repository's name."""
    return [{"-": "minus", ".": "full_stop", "_": "underscore"}.get(character, character) for character in text]


async def _take(options: GlobalOptions) -> None:
    redactor = Redactor()
    configuration = load_configuration(options.config)
    yard = await Yard.open(configuration, yard_options(options), redactor=redactor)

    async def open_yard() -> Yard:
        return yard

    app = ModelyardApp(open_yard, environment={"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    async with app.run_test(size=_SIZE) as pilot:
        await _settled(yard)
        _save(app, "overview")
        candidates = await yard.queue.candidates()
        half = next(one for one in candidates if len(one.approvals) == 1)
        await _keys(pilot, "2", "slash", *_typed(half.name.rpartition("/")[2].partition(":")[0]), "enter", "enter")
        _save(app, "queue")
        await _keys(pilot, "3", "enter")
        _save(app, "service")
        await _keys(pilot, "escape", "4")
        _save(app, "gpus")
        draft = await yard.deployments.draft(
            next(one.reference for one in candidates if one.state is ImageState.APPROVED and one.framework == "nim"),
            "chat-new",
            "llm-prod",
        )
        await _plan(app, pilot, draft)
        _save(app, "plan")


async def _plan(app: ModelyardApp, pilot: Pilot[None], draft: str) -> None:
    from tui.panes.deployments.plan import PlanPage

    assert app.feed.yard is not None
    plan = await app.feed.yard.deployments.plan(draft)
    await app.push_screen(PlanPage(plan))
    await pilot.pause(0.7)


def main() -> int:
    """Start the demo, take the pictures, and end it."""
    _FOLDER.mkdir(exist_ok=True)

    def take(request: ScreenRequest) -> int:
        raise AssertionError(request)

    session = Session(GlobalOptions(), take)
    with demo.started(session.options, seed=1, crew=True) as yard, logging_to_file(Redactor(), debug=False):
        asyncio.run(_take(yard.options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
