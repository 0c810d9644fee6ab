"""The audit bundle: the whole ledger, all decisions, and the evidence that they rested on, in one file.

A tar archive (gzip where the name ends in `gz`) of JSON lines. `manifest.json` names every other file with its size and
SHA-256, and the ledger's head; where it is signed, `manifest.json.sig` is an OpenSSH signature over it
(`backend.audit.signing`). Files and signature can be checked with sha256sum and ssh-keygen alone;
`backend.audit.bundle_check` checks the chain and the evidence as well.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from backend.audit.anchors import head
from backend.audit.entries import export
from backend.audit.signing import sign, signer_of
from backend.core.canonical import canonical_json
from backend.core.errors import ConflictError, StoreUnwritableError
from backend.core.ports import timestamp
from backend.core.views import BundleFileView, BundleView
from backend.curation.archive import TABLES, evidence_sets, rows_of
from backend.evidence import store as evidence_store
from backend.store.connection import Database

FORMAT: Final = "modelyard-audit-bundle/1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.json.sig"
LEDGER: Final = "ledger.jsonl"
EVIDENCE_SETS: Final = "evidence-sets.jsonl"
EVIDENCE: Final = "evidence.jsonl"
GUIDE: Final = "HOW-TO-CHECK.txt"
_LINES: Final = 1000
_PIECES: Final = 20
_GUIDE_TEXT: Final = f"""\
What this is: the audit log of a Modelyard installation, with all decisions and the evidence that they rested on.

  {LEDGER}         every entry; hash = sha256 over the canonical JSON (sorted keys, no spaces) of the other columns,
                       previous = hash of the entry before
  decisions.jsonl      who decided what, when and why; evidence_hash names a line of {EVIDENCE_SETS}
  waivers.jsonl        findings that were let pass until a date
  submissions.jsonl    what was brought before gates and people, and by whom
  {EVIDENCE_SETS}  which pieces of evidence and waivers an evidence hash stands for
  {EVIDENCE}       those pieces of evidence in full
  {MANIFEST}        names, sizes and SHA-256 of all of these, and the ledger's head

To check it without Modelyard: compare sha256sum with {MANIFEST}; where {SIGNATURE} is there:
  ssh-keygen -Y verify -f ALLOWED_SIGNERS -I NAME -n modelyard -s {SIGNATURE} < {MANIFEST}
With Modelyard: modelyard audit verify --bundle FILE [--allowed-signers FILE] [--anchor HASH]
"""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `manifest.json` says."""

    format: str
    yard: str
    made_by: str
    made_at: str
    entries: int
    head: str
    files: tuple[BundleFileView, ...]


async def write_bundle(
    database: Database, target: Path, *, yard: str, by: str, at: datetime, key: Path | None = None
) -> BundleView:
    """Write a bundle.

    Args:
        target: absolute path of the file; it must not exist yet.
        by: who makes it.
        key: an SSH key to sign it with; None: it stays unsigned.

    Raises:
        ConflictError: the file exists.
        StoreUnwritableError: it cannot be written.
        UsageError, RefusedError: the key cannot sign.
        StoreError: the database cannot be read.
    """
    if await asyncio.to_thread(target.exists):
        raise ConflictError(f"bundle {target}", "the file exists", "name another one: a bundle is not overwritten")
    try:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".modelyard-bundle-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        return await _written(database, target, folder, yard=yard, by=by, at=at, key=key)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _written(
    database: Database, target: Path, folder: Path, *, yard: str, by: str, at: datetime, key: Path | None
) -> BundleView:
    end = await head(database, yard, at)
    await _write_lines(folder / LEDGER, _until(export(database), end.seq))
    for name in TABLES:
        await _write_lines(folder / f"{name}.jsonl", _table(database, name))
    sets = await evidence_sets(database)
    await _write_lines(folder / EVIDENCE_SETS, _each([msgspec.json.encode(one).decode() for one in sets]))
    ids = list(dict.fromkeys(id_ for one in sets for id_ in one.evidence))
    await _write_lines(folder / EVIDENCE, _evidence(database, ids))
    await asyncio.to_thread((folder / GUIDE).write_text, _GUIDE_TEXT, encoding="utf-8")
    names = [LEDGER, *(f"{name}.jsonl" for name in TABLES), EVIDENCE_SETS, EVIDENCE, GUIDE]
    files = tuple([await asyncio.to_thread(_measured, folder / name) for name in names])
    manifest = Manifest(
        format=FORMAT, yard=yard, made_by=by, made_at=timestamp(at), entries=end.seq, head=end.hash, files=files
    )
    text = canonical_json(msgspec.to_builtins(manifest))
    await asyncio.to_thread((folder / MANIFEST).write_bytes, text)
    names.insert(0, MANIFEST)
    signed_by = ""
    if key is not None:
        signature = await sign(folder / MANIFEST, key)
        signed_by, _ = await signer_of(folder / MANIFEST, signature, allowed=None)
        names.insert(1, SIGNATURE)
    packed = folder / "bundle"
    await asyncio.to_thread(_pack, folder, names, packed, compress=target.name.endswith("gz"), at=at)
    await asyncio.to_thread(packed.replace, target)
    return BundleView(
        path=str(target), yard=yard, entries=end.seq, head=end.hash, files=files, signed_by=signed_by
    )  # fmt: skip


async def _until(lines: AsyncIterator[str], last: int) -> AsyncIterator[str]:
    """The first entries of the ledger: what is appended meanwhile is not part of the bundle."""
    count = 0
    async for line in lines:
        if count == last:
            return
        count += 1
        yield line


async def _each(lines: Sequence[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line


async def _table(database: Database, name: str) -> AsyncIterator[str]:
    after = 0
    while rows := await rows_of(database, name, after, _LINES):
        for row in rows:
            yield msgspec.json.encode(row).decode()
        after = rows[-1]["seq"]


async def _evidence(database: Database, ids: Sequence[str]) -> AsyncIterator[str]:
    for start in range(0, len(ids), _PIECES):
        for record in await evidence_store.in_full(database, ids[start : start + _PIECES]):
            yield (await asyncio.to_thread(msgspec.json.encode, record)).decode()


async def _write_lines(file: Path, lines: AsyncIterator[str]) -> None:
    waiting: list[str] = []
    output = await asyncio.to_thread(file.open, "w", encoding="utf-8")
    try:
        async for line in lines:
            waiting.append(line + "\n")
            if len(waiting) >= _LINES:
                await asyncio.to_thread(output.writelines, waiting)
                waiting = []
        await asyncio.to_thread(output.writelines, waiting)
    finally:
        await asyncio.to_thread(output.close)


def _measured(file: Path) -> BundleFileView:
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return BundleFileView(name=file.name, size=file.stat().st_size, sha256=digest)


def _pack(folder: Path, names: Sequence[str], packed: Path, *, compress: bool, at: datetime) -> None:
    """One archive of the files, the same bytes for the same content and instant."""
    when = int(at.timestamp())
    with packed.open("wb") as raw:
        wrapped: IO[bytes] = raw
        if compress:
            wrapped = cast(IO[bytes], gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=when))
        with tarfile.open(fileobj=wrapped, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = (folder / name).stat().st_size, when, 0o644
                with (folder / name).open("rb") as data:
                    archive.addfile(member, data)
        if wrapped is not raw:
            wrapped.close()


def _unwritable(target: Path, error: OSError) -> StoreUnwritableError:
    return StoreUnwritableError(
        f"bundle {target}", error.strerror or str(error), "name a file in a folder that you may write"
    )
