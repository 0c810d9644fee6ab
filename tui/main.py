"""The console script. Imports nothing heavy: it hands the command line a way to open the screen."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.yard import ScreenRequest
    from tui.app import ModelyardApp

_TYPED_SEQUENCES = "TEXTUAL_DISABLE_KITTY_KEY"
_INTERRUPTED = 130
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def open_screen(request: ScreenRequest) -> int:
    """Run the screen until the user leaves it; its exit status comes back."""
    # Keyboard protocols that a terminal has to be asked about are more than a bastion's terminal may answer.
    os.environ.setdefault(_TYPED_SEQUENCES, "1")
    from backend.core.garbage import share_one_pool
    from tui.app import ModelyardApp
    from tui.ports import ScreenSettings

    share_one_pool()

    settings = ScreenSettings(
        keys=request.keys,
        confirm=request.confirm,
        theme=request.theme,
        theme_folder=request.theme_folder,
        reasons=request.reasons,
        bell=request.bell,
        title=request.title,
    )
    app = ModelyardApp(request.open_yard, settings=settings)
    with _ends_told_to(app):
        app.run(mouse=False)
    return app.return_code or 0


@contextmanager
def _ends_told_to(app: ModelyardApp) -> Iterator[None]:
    """While the block runs, signals that ask the process to end make the screen leave, which closes the yard.

    An exception out of a signal handler would cut the loop off anywhere, with tasks that then never end.
    """

    def leave(_signal: int, _frame: object) -> None:
        if not app.leave_soon():
            raise KeyboardInterrupt

    # Whoever handles the others already turns them into SIGINT.
    asked = [number for number in _ENDS if number == signal.SIGINT or signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, leave) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit status."""
    # What is imported stays. Looking through it for garbage again and again costs a tenth of the time to the first
    # rows; who goes on to work for longer than that switches it on again.
    gc.disable()
    try:
        from backend.cli.entry import run

        status = run(list(sys.argv[1:] if arguments is None else arguments), open_screen)
    except KeyboardInterrupt:
        # Before the command line was there to tell it, or after it had: the answer is the same.
        status = _INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    main()
