"""Runs a command line and turns every outcome into the contract's exit status and a one-line error."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backend.cli.options import hoist
from backend.core.errors import InterruptedByUserError, ModelyardError
from backend.core.text import sanitise, sanitise_lines

if TYPE_CHECKING:
    from backend.yard import ScreenRequest

OpenScreen = Callable[["ScreenRequest"], int]


def run(arguments: Sequence[str], open_screen: OpenScreen) -> int:
    """Do what the arguments say.

    Args:
        open_screen: runs the screen, and gives its exit status.

    Returns:
        The exit status by the contract.
    """
    debug = "--debug" in arguments
    try:
        status = _done(arguments, open_screen)
        sys.stdout.flush()
        return status
    except ModelyardError as error:
        return _failed(error, debug=debug)
    except KeyboardInterrupt:
        return _failed(InterruptedByUserError(), debug=False)
    except BrokenPipeError:
        # Whoever read our output went away, as `head` does: nothing is left to say, and to no one.
        _abandon_output()
        return 128 + signal.SIGPIPE
    except Exception as error:
        if debug:
            _trace()
        reason = sanitise(f"{type(error).__name__}: {error}", 500)
        told = f"modelyard: unexpected failure: {reason}; run it again with --debug and report what it says"
        sys.stderr.write(f"{told}\n")
        _abandon_output()
        return 1


def _done(arguments: Sequence[str], open_screen: OpenScreen) -> int:
    options, words = hoist(arguments)
    if not words:
        from backend.cli.screen import show_screen

        return show_screen(options, open_screen)
    from backend.cli.application import invoke

    return invoke(options, words, open_screen)


def _abandon_output() -> None:
    """Let what is still to be written to standard output go nowhere, or the interpreter complains of it at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _trace() -> None:
    """Where the error came from; its text may be a registry's or a cluster's."""
    sys.stderr.write(sanitise_lines(traceback.format_exc()))


def _failed(error: ModelyardError, *, debug: bool) -> int:
    if debug:
        _trace()
    sys.stderr.write(f"modelyard: {sanitise(str(error), 2000)}\n")
    return error.exit_code
