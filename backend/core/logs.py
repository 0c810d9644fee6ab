"""Logging to the state folder: one file, rotated, written off the event loop, with secrets redacted."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
from pathlib import Path
from typing import Final

from backend.core.text import sanitise

_MAX_BYTES: Final = 5_000_000
_CREDENTIAL: Final = re.compile(
    r"(?i)\b(authorization|proxy-authorization|password|passwd|secret|token|refresh_token|access_token|api[_-]?key)"
    r"(\"?\s*[:=]\s*\"?)(?:(?:basic|bearer)\s+)?[^\s\"',;&]+"
)
_SCHEME: Final = re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9._~+/=-]{8,}")
_USER_INFO: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")
_SHORTEST_SECRET: Final = 4


class Redactor:
    """Removes secrets from text: those it was told, and what looks like a credential."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, secret: str) -> None:
        """Remember a secret that must never be written; shorter ones than 4 characters would hide ordinary words."""
        if len(secret) >= _SHORTEST_SECRET:
            self._secrets.add(secret)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        text = _USER_INFO.sub(r"\1[redacted]@", text)
        text = _CREDENTIAL.sub(r"\1\2[redacted]", text)
        return _SCHEME.sub(r"\1 [redacted]", text)


class _SafeFormatter(logging.Formatter):
    """One line a record (more only for a traceback), redacted and free of control characters."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(process)d %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        text = self._redactor.redact(super().format(record))
        return "\n".join(sanitise(line, 10_000) for line in text.split("\n"))


class LogFile:
    """The running log: records go through a queue to a thread that writes them. Close it to flush."""

    def __init__(self, folder: Path, *, redactor: Redactor, debug: bool) -> None:
        """Start logging to `folder`/modelyard.log, 5 MB, three old ones kept.

        Raises:
            OSError: the folder or file cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / "modelyard.log"
        self._file = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=_MAX_BYTES, backupCount=3, encoding="utf-8", errors="backslashreplace"
        )
        self.path.chmod(0o600)
        self._file.setFormatter(_SafeFormatter(redactor))
        records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._handler = logging.handlers.QueueHandler(records)
        self._listener = logging.handlers.QueueListener(records, self._file)
        root = logging.getLogger()
        root.setLevel(logging.DEBUG if debug else logging.INFO)
        root.addHandler(self._handler)
        for noisy in ("httpx", "httpcore", "aiosqlite", "asyncio", "markdown_it"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._listener.start()

    def close(self) -> None:
        """Write what is queued and stop."""
        logging.getLogger().removeHandler(self._handler)
        self._listener.stop()
        self._file.close()
