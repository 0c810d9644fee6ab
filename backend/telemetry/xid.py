"""What an XID says: NVIDIA's number for an error of a GPU. Pure.

Numbers and classes: NVIDIA's "XID Errors" catalogue (GPU Deployment and Management documentation). Application errors
come from what runs on the GPU; hardware errors call for draining the node, a reset or a new card.
"""

from __future__ import annotations

from typing import Final

APPLICATION: Final = "application"
HARDWARE: Final = "hardware"

_APPLICATION: Final[dict[int, str]] = {
    13: "graphics engine exception",
    31: "memory page fault",
    43: "the GPU stopped processing",
    45: "the work on it was cut off",
    68: "video processor exception",
    109: "context switch timed out",
}
_HARDWARE: Final[dict[int, str]] = {
    48: "double-bit ECC error",
    63: "a memory row was remapped",
    64: "a memory row could not be remapped",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many single-bit ECC errors",
    94: "contained ECC error",
    95: "uncontained ECC error",
    119: "the GPU's own processor (GSP) does not answer",
    120: "the GPU's own processor (GSP) failed",
    140: "ECC error that was not recovered from",
    143: "the GPU could not be initialised",
    **dict.fromkeys(range(144, 151), "NVLink error"),
    154: "the GPU asks for a recovery action",
    156: "memory was retired",
    157: "memory could not be retired",
    171: "uncorrectable memory error",
    172: "uncorrectable memory error",
}


def class_of(number: int) -> str:
    """`application`, `hardware`, or empty for a number that neither list has."""
    return APPLICATION if number in _APPLICATION else HARDWARE if number in _HARDWARE else ""


def meaning_of(number: int) -> str:
    """What the number stands for, in a clause; empty when it is in neither list."""
    return _APPLICATION.get(number) or _HARDWARE.get(number) or ""


def sentence(number: int) -> str:
    """The number with what it stands for: `XID 79: the GPU has fallen off the bus (hardware)`."""
    meaning, kind = meaning_of(number), class_of(number)
    return f"XID {number}: {meaning} ({kind})" if kind else f"XID {number}"
