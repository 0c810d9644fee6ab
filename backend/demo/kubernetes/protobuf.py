"""Reviews in Kubernetes' protobuf, which `kubectl auth` sends and gives no choice about.

Only what these three messages need of the encoding is read: https://protobuf.dev/programming-guides/encoding, and
`staging/src/k8s.io/api/authorization/v1/generated.proto` for the field numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.demo.kubernetes.answers import StatusError, bad_request
from backend.demo.objects import Object

PROTOBUF = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_RAW = 2
_SPEC = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RESOURCE_ATTRIBUTES = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}
_SPECS: dict[str, Mapping[int, Any]] = {
    "selfsubjectreviews": {},
    "selfsubjectaccessreviews": {
        1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
        2: ("nonResourceAttributes", {1: "path", 2: "verb"}),
    },
    "selfsubjectrulesreviews": {1: "namespace"},
}
#: The plurals of the messages that can be read.
REVIEWS = frozenset(_SPECS)


def review_from_protobuf(data: bytes, plural: str) -> Object:
    """The review's body with its `spec`, as if it had come as JSON.

    Args:
        data: the request's body.
        plural: one of `REVIEWS`.

    Raises:
        StatusError: 400, when the data is not such a message.
    """
    if not data.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message")
    try:
        raw = dict(_fields(data[len(_MAGIC) :])).get(_RAW, b"")
        spec = dict(_fields(raw)).get(_SPEC, b"")
        return {"spec": _message(spec, _SPECS[plural])}
    except (IndexError, UnicodeDecodeError) as error:
        raise _malformed() from error


def _message(data: bytes, names: Mapping[int, Any]) -> Object:
    content: Object = {}
    for number, value in _fields(data):
        known = names.get(number)
        if isinstance(known, str):
            content[known] = value.decode()
        elif known is not None:
            content[known[0]] = _message(value, known[1])
    return content


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that have bytes as their value: number and value."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        elif kind == _BYTES:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise _malformed()
            yield tag >> 3, data[position : position + length]
            position += length
        else:
            raise _malformed()


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _malformed()


def _malformed() -> StatusError:
    return bad_request("the message is not valid protobuf")
