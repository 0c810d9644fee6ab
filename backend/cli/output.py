"""Prints what a command found: tables for people, JSON and YAML for programs. Notes and errors go to stderr."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from backend.cli.options import OutputFormat
from backend.core.errors import UsageError
from backend.core.ports import instant
from backend.core.settings import parse_duration
from backend.core.text import sanitise, sanitise_lines

_Row = TypeVar("_Row")
Column = tuple[str, Callable[[_Row], object]]
# ANSI's colours, whatever the terminal makes of them.
_CODES = {"add": "32", "remove": "31", "bad": "1;31"}


class Printer:
    """Writes results in the format that the user asked for."""

    def __init__(self, output: OutputFormat) -> None:
        self.output = output

    def rows(
        self,
        rows: Sequence[_Row],
        columns: Sequence[Column[_Row]],
        *,
        empty: str,
        as_data: Callable[[_Row], Any] | None = None,
    ) -> None:
        """A list: an array, or a table with a heading; `empty` is the note when there is nothing."""
        if self.output is OutputFormat.CSV:
            self._csv([as_data(row) if as_data else plain(row) for row in rows])
            return
        if self.output is not OutputFormat.TABLE:
            self._data([as_data(row) if as_data else plain(row) for row in rows])
            return
        if not rows:
            note(empty)
            return
        table = [[heading for heading, _ in columns]]
        table += [[cell(value(row)) for _, value in columns] for row in rows]
        self._lines(aligned(table))

    def item(self, value: Any, text: str, *, data: Any = None, role: Callable[[str], str] | None = None) -> None:
        """One object: as data, or as the given text.

        Args:
            role: tells of a line of the text whether it is to be coloured: `add`, `remove`, `bad`, or empty.

        Raises:
            UsageError: as CSV, which is for lists.
        """
        if self.output is OutputFormat.CSV:
            raise UsageError("option --output", "csv is for lists, and this is one thing", "use table, json or yaml")
        if self.output is not OutputFormat.TABLE:
            self._data(plain(value) if data is None else data)
            return
        self._lines(text.rstrip("\n").split("\n"), role if _has_colours() else None)

    def _csv(self, rows: Sequence[Any]) -> None:
        """Rows of one kind with every field; a cell that a spreadsheet would evaluate is made a text (OWASP)."""
        writer = csv.writer(sys.stdout, lineterminator="\n")
        names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
        if names:
            writer.writerow(names)
        for row in rows:
            writer.writerow([_csv_cell(row.get(name)) for name in names])

    def _data(self, data: Any) -> None:
        if self.output is OutputFormat.JSON:
            encoded = msgspec.json.format(msgspec.json.encode(data), indent=2)
            sys.stdout.write(encoded.decode("utf-8") + "\n")
            return
        import yaml

        yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True)

    def _lines(self, lines: Iterable[str], role: Callable[[str], str] | None = None) -> None:
        for line in lines:
            code = _CODES.get(role(line), "") if role is not None else ""
            clean = sanitise_lines(line)
            sys.stdout.write(f"\x1b[{code}m{clean}\x1b[0m\n" if code else clean + "\n")


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def plain(value: Any) -> Any:
    """A view as lists, dictionaries, strings and numbers; instants as RFC 3339 text; with its printed reference."""
    data = msgspec.to_builtins(value)
    for derived in ("reference", "blocked"):
        if isinstance(data, dict) and derived not in data and hasattr(value, derived):
            data[derived] = getattr(value, derived)
    return data


def _csv_cell(value: object) -> str:
    if isinstance(value, list | tuple):
        value = " ".join(str(part) for part in value)
    elif isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    shown = "" if value is None else sanitise(str(value), 30_000)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def cell(value: object) -> str:
    """A value as it stands in a table: `-` for what is not known."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, list | tuple):
        return ", ".join(cell(part) for part in value) or "-"
    return sanitise(str(value), 400)


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns padded to the widest cell, two spaces between."""
    widths = [max(len(row[position]) for row in table) for position in range(len(table[0]))]
    return ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in table]


def pairs(values: Sequence[tuple[str, object]]) -> str:
    """Names and values, a line each, the values aligned."""
    width = max((len(name) for name, _ in values), default=0)
    return "\n".join(f"{name.ljust(width)}  {cell(value)}" for name, value in values)


def note(text: str) -> None:
    """A line to stderr that is no error."""
    sys.stderr.write(sanitise(text) + "\n")


def parse_time(text: str) -> datetime:
    """An instant that the user typed: RFC 3339, or a date, which means its end in UTC.

    Raises:
        ValueError: the text is neither.
    """
    if len(text) == len("2026-01-31"):
        return instant(f"{text}T23:59:59.999999+00:00")
    return instant(text)


def parse_since(text: str, now: datetime) -> datetime:
    """An instant that the user typed: RFC 3339, a date, which means its beginning in UTC, or how long ago (`7d`).

    Raises:
        ValueError: the text is none of these.
    """
    if len(text) == len("2026-01-31"):
        return instant(f"{text}T00:00:00+00:00")
    try:
        return now - parse_duration(text)
    except ValueError:
        return instant(text)


def size_text(size: int | None) -> str:
    """Bytes as a person reads them, in binary units; `-` when not told."""
    if size is None:
        return "-"
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError
