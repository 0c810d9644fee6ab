"""The ledger's head is noted outside of the database, once it moved, and the newest note is found again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audit.anchors import append_anchor, newest_anchor, read_anchor
from backend.core.errors import StoreUnwritableError, UsageError
from backend.core.views import AnchorView

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def anchor(seq: int, yard: str = "production") -> AnchorView:
    return AnchorView(yard=yard, seq=seq, at=AT, hash=f"sha256:{seq:064x}")


def test_the_newest_anchor_of_the_yard_is_found_among_others_and_rubbish(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    assert newest_anchor(file, "production") is None
    append_anchor(file, anchor(1))
    append_anchor(file, anchor(2))
    append_anchor(file, anchor(9, "another"))
    with file.open("ab") as data:
        data.write(b'not an anchor\n\xff\xfe\n{"yard": "production"}\n')
    assert newest_anchor(file, "production") == anchor(2)
    append_anchor(file, anchor(3))
    assert newest_anchor(file, "production") == anchor(3)
    assert file.stat().st_mode & 0o007 == 0


def test_a_file_of_any_length_is_read_from_its_end_only(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    with file.open("wb") as data:
        data.truncate(200 * 1024 * 1024)
    append_anchor(file, anchor(4))
    with file.open("ab") as data:
        data.write(b"\n")
    assert newest_anchor(file, "production") is None
    append_anchor(file, anchor(5))
    assert newest_anchor(file, "production") == anchor(5)


def test_a_file_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritableError, match="anchor file"):
        append_anchor(tmp_path, anchor(1))
    with pytest.raises(UsageError, match="anchor file"):
        newest_anchor(tmp_path, "production")


@given(st.text(max_size=200))
def test_what_a_person_noted_is_a_hash_or_refused(text: str) -> None:
    try:
        assert read_anchor(text).removeprefix("sha256:") in text.lower()
    except UsageError as error:
        assert "hash" in str(error)


def test_a_hash_is_read_with_and_without_its_prefix_and_from_a_file_of_audit_head() -> None:
    digits = "ab" * 32
    assert read_anchor(f" sha256:{digits}\n") == read_anchor(digits.upper()) == f"sha256:{digits}"
    assert read_anchor(json.dumps({"yard": "x", "hash": f"sha256:{digits}"})) == f"sha256:{digits}"
