"""Secrets and control characters never reach the log file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from backend.core.logs import LogFile, Redactor


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer eyJhbGciOi.hunter2hunter2",
        "sent Basic dTpodW50ZXIyaHVudGVyMg==",
        'body {"password": "hunter2hunter2"}',
        "GET https://u:hunter2hunter2@registry.example/v2/",
        "access_token=hunter2hunter2&scope=x",
        "the learnt one is s3cr3t-value",
    ],
)
def test_credentials_are_redacted(line: str) -> None:
    redactor = Redactor()
    redactor.learn("s3cr3t-value")
    redacted = redactor.redact(line)
    assert "hunter2" not in redacted
    assert "dTpodW50" not in redacted
    assert "s3cr3t-value" not in redacted


def test_ordinary_words_stay() -> None:
    assert Redactor().redact("sync of registry ngc: 3 new tags") == "sync of registry ngc: 3 new tags"


def test_the_file_is_private_and_holds_no_escape_sequences(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.learn("s3cr3t-value")
    log = LogFile(tmp_path / "state", redactor=redactor, debug=False)
    logging.getLogger("somewhere").warning("tag \x1b]0;owned\x07%s and s3cr3t-value", "\x1b[31m")
    log.close()
    text = log.path.read_text(encoding="utf-8")
    assert "owned" not in text
    assert "\x1b" not in text
    assert "s3cr3t-value" not in text
    assert "tag " in text
    assert log.path.stat().st_mode & 0o077 == 0
