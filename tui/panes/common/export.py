"""Lists written to files that a person names."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from backend.core.errors import ConflictError, ModelyardError, UsageError

FORMATS = (".json", ".csv", ".txt")


def check_path(value: str) -> str:
    """Why a text names no file that can be written to; empty when it does."""
    path = Path(value.strip())
    if not value.strip():
        return "name a file"
    return "" if path.suffix in FORMATS else f"the name says the format: it ends with {', '.join(FORMATS)}"


def document(suffix: str, rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a document: JSON and CSV with every field, plain text with the first."""
    if suffix == ".json":
        return json.dumps([dict(row) for row in rows], indent=2, ensure_ascii=False, default=str) + "\n"
    if suffix == ".csv":
        told = io.StringIO()
        writer = csv.DictWriter(told, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return told.getvalue()
    return "".join(f"{next(iter(row.values()), '')}\n" for row in rows)


async def write(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows to a new file.

    Args:
        name: its path; its ending says the format, see `FORMATS`. `~` is the home folder.

    Raises:
        UsageError: the name says no format. ConflictError: there is such a file. ModelyardError: it cannot be written.
    """
    if why := check_path(name):
        raise UsageError(f"file {name}", why, "choose another name")
    return await write_new(name, document(Path(name.strip()).suffix, rows))


async def write_new(name: str, content: str) -> Path:
    """Write a text to a new file; `~` is the home folder.

    Raises:
        ConflictError: there is such a file. ModelyardError: it cannot be written.
    """
    try:
        return await asyncio.to_thread(_write, name.strip(), content)
    except FileExistsError:
        raise ConflictError(f"file {name}", "there is such a file already", "choose another name") from None
    except OSError as error:
        raise ModelyardError(f"file {name}", error.strerror or str(error), "choose another place") from error


def _write(name: str, content: str) -> Path:
    path = Path(name).expanduser()
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(content)
    return path
