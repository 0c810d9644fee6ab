"""The console script. Imports nothing heavy: it hands the command line a way to open the screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.yard import ScreenRequest


def open_screen(request: ScreenRequest) -> int:
    """Run the screen until the user leaves it; its exit status comes back."""
    from tui.app import run

    return run(request)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit status."""
    from backend.cli.entry import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments), open_screen))


if __name__ == "__main__":
    main()
