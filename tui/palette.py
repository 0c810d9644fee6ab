"""Roles to styles: how the theme draws what view models say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from backend.core.text import sanitise
from themes import ThemeData
from tui.document import Line

# What Textual's own style sheets need of an ANSI theme.
_ANSI_VARIABLES: Final[Mapping[str, str]] = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "border-blurred": "ansi_default",
    "block-cursor-foreground": "ansi_black",
    "block-cursor-background": "ansi_white",
    "input-cursor-background": "ansi_white",
    "input-cursor-foreground": "ansi_black",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_blue",
    "input-selection-foreground": "ansi_black",
    "screen-selection-background": "ansi_blue",
    "screen-selection-foreground": "ansi_black",
}
_PLAIN: Final[Mapping[str, str]] = {"base": "default on default", "cursor": "reverse", "match": "reverse"}


class Palette:
    """The styles of a theme's roles; roles that it does not know look like `base`."""

    def __init__(self, roles: Mapping[str, str] = _PLAIN) -> None:
        self.base = Style.parse(roles.get("base", "default on default"))
        self._styles = {role: self.base + Style.parse(words) for role, words in roles.items()}
        self._over = {role: Style.parse(words) for role, words in roles.items()}

    def style(self, role: str) -> Style:
        """How text of a role looks on the screen's background."""
        return self._styles.get(role, self.base)

    def overlay(self, role: str) -> Style:
        """What a role changes of the text that it lies over."""
        return self._over.get(role, Style.null())

    def strip(self, line: Line, width: int, under: str = "", over: str = "") -> Strip:
        """A line as exactly `width` cells for the terminal.

        This is the only way of text to the terminal outside of dialogs, and it sanitises once more what it is given.

        Args:
            under: role whose style lies under the whole line, such as a bar.
            over: role that lies over it, such as the cursor. Where that reverses, the line's own colours give way.
        """
        below = self.style(under) if under else self.base
        above = self.overlay(over) if over else Style.null()
        segments: list[Segment] = []
        left = width
        for text, role in line:
            clean = sanitise(text)
            if not clean:
                # A style with nothing in it is bytes all the same.
                continue
            size = len(clean) if clean.isascii() else cell_len(clean)
            if size > left:
                clean, size = set_cell_size(clean, left), left
            style = (below + self.overlay(role) if role and not above.reverse else below) + above
            # A blank looks the same in every colour of text: it stays with what stands before it.
            if segments and clean.isspace() and _blank_alike(segments[-1].style, style):
                style = segments[-1].style or style
            elif segments and _begins_blank(segments) and _blank_alike(segments[-1].style, style):
                # And those that a line begins with to what comes after them.
                segments = [Segment(segment.text, style) for segment in segments]
            segments.append(Segment(clean, style))
            left -= size
            if left <= 0:
                break
        if left > 0:
            style = below + above
            if segments and _blank_alike(segments[-1].style, style):
                style = segments[-1].style or style
            segments.append(Segment(" " * left, style))
        # Neighbours that look alike become one: every change of style is bytes on a slow line.
        return Strip(Segment.simplify(segments), width)


def _begins_blank(segments: Sequence[Segment]) -> bool:
    """Whether there is nothing but blanks of one style."""
    return all(segment.text.isspace() and segment.style == segments[0].style for segment in segments)


def _blank_alike(one: Style | None, other: Style) -> bool:
    return (
        one is not None
        and one.bgcolor == other.bgcolor
        and not (one.reverse or other.reverse or one.underline or other.underline or one.strike or other.strike)
    )


@runtime_checkable
class HasPalette(Protocol):
    """An app that knows how roles look."""

    palette: Palette


_DEFAULT: Final = Palette()


def palette_of(widget: Widget) -> Palette:
    """The palette of the widget's app, or a plain one."""
    app = widget.app
    return app.palette if isinstance(app, HasPalette) else _DEFAULT


def textual_theme(data: ThemeData) -> Theme:
    """The theme as Textual draws its own parts (inputs, borders) with it."""
    colours = data.colours
    return Theme(
        name=f"modelyard-{data.name}",
        dark=data.dark,
        ansi=data.ansi,
        background=colours["background"],
        foreground=colours["foreground"],
        surface=colours["surface"],
        panel=colours["panel"],
        primary=colours["primary"],
        accent=colours["accent"],
        warning=colours["warning"],
        error=colours["error"],
        success=colours["success"],
        variables={"rule": colours["rule"], **(_ANSI_VARIABLES if data.ansi else {})},
    )
