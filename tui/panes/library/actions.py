"""What can be done to one image."""

from __future__ import annotations

from backend.core.views import CandidateView, ImageState, ImageView
from tui.page import Page
from tui.panes.common.text import TextPage, yaml_line
from tui.panes.deployments.opening import open_form


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
        self.open_later(open_form(self.room, image.reference, image.name), "preparing the form")

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
            from tui.panes.library.detail_model import history_lines

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
