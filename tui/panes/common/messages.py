"""What stands in a pane in place of its rows: a problem, or what to do first."""

from __future__ import annotations

from tui.document import EMPTY, Line, Span, text
from tui.model import Problem


def problem_lines(problem: Problem) -> tuple[Line, ...]:
    """A problem as a pane tells it: what, why, what to do."""
    return (
        (Span("✗ ", "alarm"), *text(problem.what, "bad")),
        text(problem.why),
        *(text(line, "warn") for line in problem.lines),
        (Span("→ ", "accent"), *text(problem.action)),
    )


def first_run(has_registry: bool) -> tuple[Line, ...]:
    """What to do on an empty first run."""
    if not has_registry:
        return (
            text("No registry is configured yet.", "strong"),
            EMPTY,
            (*text("1. "), *text("modelyard init", "accent"), *text("    writes a configuration file to start from")),
            (
                *text("2. "),
                *text("[[registry]]", "accent"),
                *text("      name one in it, and a "),
                *text("[[rule]]", "accent"),
                *text(" of what to take in"),
            ),
            (*text("3. "), *text("modelyard doctor", "accent"), *text("  checks it; then open this screen again")),
            EMPTY,
            (*text("Or look around first: "), *text("modelyard demo", "accent"), *text(" needs nothing.")),
        )
    return (
        text("The library is empty: nothing was synchronised yet.", "strong"),
        EMPTY,
        (Span("f", "key"), *text(" or "), *text(":sync", "accent"), *text(" takes in what the rules name.")),
        (
            *text("A "),
            *text("[[rule]]", "accent"),
            *text(" in the configuration says what that is; "),
            *text("modelyard rules preview", "accent"),
            *text(" tries it."),
        ),
    )
