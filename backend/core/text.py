"""The one place where text from outside becomes safe to show.

Names, tags, labels, log lines and error messages come from registries, clusters and reports. None of it may move the
cursor, change colours, reorder what is read (Unicode TR 36, bidirectional text), or be taken for markup.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# ECMA-48 control sequences (CSI, OSC, DCS, SOS, PM, APC and two-byte escapes), in 7- and 8-bit form.
_ESCAPE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_INVISIBLE: Final = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069"
    "\u206a\u206b\u206c\u206d\u206e\u206f\u3164\ufeff\uffa0"
)
_PLAIN: Final = re.compile(r"[ -~]*\Z")
REPLACEMENT: Final = "\ufffd"
ELLIPSIS: Final = "…"


def sanitise(text: str, limit: int = 4096) -> str:
    """One line of text that does nothing but be read.

    Escape sequences are removed, control, bidirectional and invisible characters replaced by U+FFFD (line breaks and
    tabs by a space), and what is longer than `limit` characters is cut with an ellipsis.
    """
    if len(text) > limit:
        text = text[: limit - 1] + ELLIPSIS
    if _PLAIN.match(text):
        return text
    text = _ESCAPE.sub("", text)
    return "".join(_shown(character) for character in text)


def sanitise_lines(text: str, limit: int = 1_000_000) -> str:
    """Like `sanitise`, but keeps line breaks; for logs and documents."""
    kept = text[:limit].replace("\r\n", "\n")
    return "\n".join(sanitise(line, limit) for line in kept.split("\n"))


def _shown(character: str) -> str:
    if character in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    if character in _INVISIBLE or unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}:
        return REPLACEMENT
    # Tag characters and variation selectors supplement carry hidden text.
    return REPLACEMENT if 0xE0000 <= ord(character) <= 0xE0FFF else character
