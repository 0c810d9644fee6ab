"""How the lines of the overview are shared out among its panes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

WIDE_FROM: Final = 120
ORDER: Final = ("deployments", "queue", "gpus", "library", "changed")
_LEAST: Final = {"deployments": 3, "queue": 2, "gpus": 2, "library": 1, "changed": 1}
_WEIGHT: Final = {"deployments": 5, "queue": 3, "gpus": 3, "library": 2, "changed": 2}
_TOP_LEAST = 4
_MIDDLE_LEAST = 3


class Shares(NamedTuple):
    """Lines of each pane, its heading included; a pane without lines is not shown."""

    lines: Mapping[str, int]
    wide: bool


def share(width: int, height: int, rows: Mapping[str, int]) -> Shares:
    """Share `height` lines out.

    Args:
        rows: how many rows each pane could show.
    """
    if width >= WIDE_FROM:
        return Shares(_wide(height, rows), True)
    return Shares(_narrow(height, rows), False)


def _narrow(height: int, rows: Mapping[str, int]) -> dict[str, int]:
    shown = list(ORDER)
    while shown and sum(_LEAST[name] + 1 for name in shown) > height and len(shown) > 1:
        shown.pop()
    wanted = {name: max(1, rows.get(name, 0)) for name in shown}
    body = {name: min(_LEAST[name], wanted[name]) for name in shown}
    return {name: count + 1 for name, count in _grow(body, wanted, height - len(shown)).items()}


def _wide(height: int, rows: Mapping[str, int]) -> dict[str, int]:
    wanted = {
        "top": max(_TOP_LEAST, rows.get("deployments", 0), rows.get("queue", 0)),
        "middle": max(_MIDDLE_LEAST, rows.get("gpus", 0), rows.get("library", 0)),
        "changed": max(1, rows.get("changed", 0)),
    }
    least = {"top": _TOP_LEAST, "middle": _MIDDLE_LEAST, "changed": 1}
    weights = {"top": 5, "middle": 3, "changed": 2}
    if height < sum(least.values()) + 3:
        wanted.pop("changed")
        least.pop("changed")
    body = _grow(least, wanted, height - len(least), weights)
    lines = {name: count + 1 for name, count in body.items()}
    return {
        "deployments": lines["top"],
        "queue": lines["top"],
        "gpus": lines["middle"],
        "library": lines["middle"],
        **({"changed": lines["changed"]} if "changed" in lines else {}),
    }


def _grow(
    body: dict[str, int], wanted: Mapping[str, int], height: int, weights: Mapping[str, int] = _WEIGHT
) -> dict[str, int]:
    """Give lines one by one to whoever has least for its weight and still wants some; the rest goes to the first."""
    body = dict(body)
    left = height - sum(body.values())
    while left > 0:
        needy = [name for name in body if body[name] < wanted[name]]
        if not needy:
            first = next(iter(body))
            body[first] += left
            break
        name = min(needy, key=lambda candidate: body[candidate] / weights[candidate])
        body[name] += 1
        left -= 1
    return body
