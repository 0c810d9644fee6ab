"""What can be done to an image, and synchronising."""

from __future__ import annotations

from backend.core.views import CandidateView, ImageState, ImageView, SyncResultView
from tui import format as fmt
from tui.document import text
from tui.model import PartName
from tui.page import Page
from tui.panes.common.text import TextPage, yaml_line
from tui.panes.deployments.form import open_form
from tui.widgets.fields import Values


class SyncAction(Page):
    """Synchronising, from the panes that show the library."""

    def act_library_synchronise(self, *arguments: str) -> None:
        dry_run = "--dry-run" in arguments
        rule = next((word for word in arguments if not word.startswith("-")), None)
        yard = self.room.feed.yard

        async def perform(_values: Values) -> object:
            if yard is None:
                return None
            command = f"modelyard sync{f' --rule {rule}' if rule else ''}{' --dry-run' if dry_run else ''}"
            try:
                result = await yard.runs.synchronise(rule, dry_run)
            except Exception:
                self.room.log_command(command, "failed")
                raise
            self.room.log_command(command, "done")
            return result

        def done(result: object) -> None:
            if isinstance(result, SyncResultView):
                self.room.feed.read(PartName.LIBRARY, PartName.QUEUE, PartName.CHANGES)
                self.room.flash(sync_told(result), bad=bool(result.failed))

        lines = (
            text(f"Rule {rule}" if rule else "Every enabled rule, against its registry."),
            text("Nothing is changed: a dry run." if dry_run else "New and moved tags become candidates in the queue."),
        )
        self.ask("Synchronise?", lines, "Synchronise", perform, done=done)


class ImageActions(Page):
    """Actions on the image that a page points at."""

    def current_image(self) -> ImageView | None:
        """The image that is meant."""
        raise NotImplementedError

    def act_deploy_form(self) -> None:
        image = self._image_or_told()
        if image is None:
            return
        if image.state is not ImageState.APPROVED:
            self.room.flash(f"only approved images are deployed; this one is {image.state.value}", bad=True)
            return
        self.open_later(open_form(self.room, image.reference, image.name, image.repository), "preparing the form")

    def act_look_manifest(self) -> None:
        image = self._image_or_told()
        yard = self.room.feed.yard
        if image is None or yard is None:
            return

        async def read() -> str:
            return (await yard.library.image(image.reference)).manifest

        self.room.push_screen(TextPage(f"MANIFEST {image.name}", read, yaml_line, note=image.digest))

    def act_library_history(self) -> None:
        image = self._image_or_told()
        yard = self.room.feed.yard
        if image is None or yard is None:
            return

        async def read() -> str:
            from tui.document import plain
            from tui.panes.library.detail import history_lines

            return "\n".join(plain(line) for line in history_lines(await yard.library.history(image.name)))

        self.room.push_screen(TextPage(f"HISTORY {image.name}", read, yaml_line))

    def act_queue_revoke(self) -> None:
        image = self._image_or_told()
        if image is None:
            return
        if image.state is not ImageState.APPROVED:
            self.room.flash("there is no approval to revoke", bad=True)
            return
        self.open_later(self._revoke(image), "reading the candidate")

    async def _revoke(self, image: ImageView) -> None:
        from tui.panes.queue.card import CardPage

        yard = self.room.feed.yard
        if yard is None:
            return
        candidate: CandidateView = await yard.queue.candidate(image.reference)
        card = CardPage(candidate)
        await self.room.push_screen(card)
        card.act_queue_revoke()

    def _image_or_told(self) -> ImageView | None:
        image = self.current_image()
        if image is None:
            self.room.flash("there is no image under the cursor", bad=True)
        return image


def sync_told(result: SyncResultView) -> str:
    """A run in a sentence."""
    parts = [
        f"{len(result.new)} new",
        f"{len(result.moved)} moved",
        f"{len(result.gone)} gone",
        f"{result.unchanged} unchanged",
    ]
    if result.failed:
        first = result.failed[0]
        where = "/".join(part for part in (first.registry, first.repository) if part)
        parts.append(f"{len(result.failed)} failed ({where}: {first.reason})")
    dry = "dry run: " if result.dry_run else "synchronised: "
    return f"{dry}{', '.join(parts)} in {fmt.duration(result.seconds)}"
