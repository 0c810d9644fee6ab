"""Checking an audit bundle: every file, the chain, the decisions, the evidence behind them, and the signature."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from backend.audit.bundle import EVIDENCE, EVIDENCE_SETS, FORMAT, LEDGER, MANIFEST, SIGNATURE, Manifest
from backend.audit.decisions import compare, told_row
from backend.audit.signing import signer_of
from backend.audit.verification import ChainCheck, check_rows
from backend.core.errors import LimitExceededError, MalformedDataError, UsageError
from backend.core.text import sanitise
from backend.core.views import BundleView
from backend.curation.archive import TABLES, EvidenceSet
from backend.curation.decisions import evidence_hash
from backend.evidence.records import EvidenceRecord, content_hash

_LARGEST_MANIFEST: Final = 1024 * 1024
_LARGEST_FILE: Final = 16 * 1024**3
_LONGEST_LINE: Final = 256 * 1024**2
_PAGE: Final = 2000
_ADVICE: Final = "ask for the bundle again, and for the head's hash by another way"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seq: int
    at: str
    actor: str
    actor_source: str
    action: str
    object: str
    outcome: str
    detail: str
    previous: str
    hash: str


class _Found(msgspec.Struct, frozen=True):
    manifest: Manifest
    reason: str


async def check_bundle(
    path: Path, *, anchor: str | None = None, allowed: Path | None = None, signer: str = ""
) -> BundleView:
    """Check a bundle.

    Args:
        path: absolute.
        anchor: a hash of an entry, noted outside earlier.
        allowed: OpenSSH's list of allowed signers; with it an unsigned bundle does not hold.
        signer: who has to have signed it.

    Returns:
        what it holds; `reason` names the first thing that does not hold.

    Raises:
        UsageError: there is no such file.
        MalformedDataError: it is no bundle.
    """
    if not await asyncio.to_thread(path.is_file):
        raise UsageError(f"bundle {path}", "there is no such file", "name a file of modelyard audit export --bundle")
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="modelyard-bundle-"))
    try:
        found = await asyncio.to_thread(_checked, path, folder, anchor)
        signed_by, reason = "", found.reason
        if await asyncio.to_thread((folder / SIGNATURE).exists):
            signed_by, why_not = await signer_of(folder / MANIFEST, folder / SIGNATURE, allowed=allowed, name=signer)
            reason = reason or (f"the signature does not hold: {why_not}" if why_not else "")
        elif allowed is not None or signer:
            reason = reason or "it is not signed"
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    manifest = found.manifest
    return BundleView(
        path=str(path), yard=manifest.yard, entries=manifest.entries, head=manifest.head, files=manifest.files,
        signed_by=signed_by, intact=not reason, reason=reason,
    )  # fmt: skip


def _checked(path: Path, folder: Path, anchor: str | None) -> _Found:
    _unpack(path, folder)
    manifest = _manifest(path, folder)
    for file in manifest.files:
        there = folder / Path(file.name).name
        if there.name != file.name or not there.is_file():
            return _Found(manifest, f"{sanitise(file.name, 80)} is missing")
        with there.open("rb") as data:
            if hashlib.file_digest(data, "sha256").hexdigest() != file.sha256 or there.stat().st_size != file.size:
                return _Found(manifest, f"{file.name} was changed")
    named = {file.name for file in manifest.files}
    extra = sorted(each.name for each in folder.iterdir() if each.name not in {*named, MANIFEST, SIGNATURE})
    if extra:
        return _Found(manifest, f"{sanitise(extra[0], 80)} is not in the manifest")
    try:
        return _Found(manifest, _chain(folder, manifest, anchor) or _decisions(folder) or _evidence(folder))
    except (msgspec.DecodeError, OSError, ValueError) as error:
        return _Found(manifest, f"a line of it is not what it has to be: {sanitise(str(error), 200)}")


def _unpack(path: Path, folder: Path) -> None:
    """Write the archive's plain files into a folder, by their names alone."""
    try:
        with tarfile.open(path, mode="r:*") as archive:
            for member in archive:
                name = Path(member.name).name
                if not member.isreg() or name != member.name:
                    raise MalformedDataError(f"bundle {path}", "it holds more than plain files", _ADVICE)
                if member.size > _LARGEST_FILE:
                    raise LimitExceededError(f"bundle {path}", f"{sanitise(name, 80)} is too large", _ADVICE)
                data = archive.extractfile(member)
                if data is not None:
                    with data, (folder / name).open("wb") as output:
                        shutil.copyfileobj(data, output)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise MalformedDataError(
            f"bundle {path}", f"it cannot be unpacked: {sanitise(str(error), 200)}", _ADVICE
        ) from error


def _manifest(path: Path, folder: Path) -> Manifest:
    try:
        data = (folder / MANIFEST).read_bytes()
        if len(data) > _LARGEST_MANIFEST:
            raise LimitExceededError(f"bundle {path}", "its manifest is too large", _ADVICE)
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise MalformedDataError(f"bundle {path}", "it has no manifest of a bundle", _ADVICE) from error
    if manifest.format != FORMAT:
        raise MalformedDataError(
            f"bundle {path}", f"its format is {sanitise(manifest.format, 80)}", "check it with the program that made it"
        )
    return manifest


def _chain(folder: Path, manifest: Manifest, anchor: str | None) -> str:
    check = ChainCheck(anchored=anchor is None)
    page: list[tuple[object, ...]] = []
    for line in _lines(folder / LEDGER):
        page.append(msgspec.structs.astuple(msgspec.json.decode(line, type=_Entry)))
        if len(page) == _PAGE:
            check, page = check_rows(check, page, anchor), []
            if check.first_bad is not None:
                return check.reason
    check = check_rows(check, page, anchor)
    if check.first_bad is not None:
        return check.reason
    if (check.entries, check.head) != (manifest.entries, manifest.head):
        return "the ledger does not end at the head that the manifest names"
    return "" if check.anchored else "the anchored entry is not in it"


def _decisions(folder: Path) -> str:
    recorded = {
        table: [msgspec.json.decode(line, type=dict[str, Any]) for line in _lines(folder / f"{table}.jsonl")]
        for table in TABLES
    }
    told = []
    for line in _lines(folder / LEDGER):
        entry = msgspec.json.decode(line, type=_Entry)
        if entry.action.startswith("queue.") and entry.outcome == "done":
            told.append(told_row(entry.seq, entry.action, msgspec.json.decode(entry.detail, type=dict[str, Any])))
    return compare(recorded, (one for one in told if one is not None))[1]


def _evidence(folder: Path) -> str:
    contents: dict[str, str] = {}
    for line in _lines(folder / EVIDENCE):
        record = msgspec.json.decode(line, type=EvidenceRecord)
        contents[record.id] = content_hash(record)
    for line in _lines(folder / EVIDENCE_SETS):
        known = msgspec.json.decode(line, type=EvidenceSet)
        missing = [id_ for id_ in known.evidence if id_ not in contents]
        if missing:
            return f"evidence {sanitise(missing[0], 80)} is missing"
        shown = [contents[id_] for id_ in known.evidence]
        if evidence_hash(known.digest, shown, known.waivers, known.corrections) != known.hash:
            return f"the evidence behind {sanitise(known.hash, 80)} was changed"
    return ""


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as data:
        while line := data.readline(_LONGEST_LINE):
            if not line.endswith(b"\n"):
                raise ValueError(f"{file.name} ends within a line")
            yield line
