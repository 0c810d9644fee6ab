"""A deployment file's values as the one-line texts of a form, and back. Pure; each pair reads back as it was."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

_SECRET: Final = "secret:"  # noqa: S105 - a mark before a reference
#: Before a value that begins like one of the two marks itself.
_TEXT: Final = "text:"
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WORKERS: Final = re.compile(r"(\d{1,4})\s*[x× ]\s*(\d{1,4})\Z")


class Text(NamedTuple):
    """How a value of the file is written in one line, and read.

    Attributes:
        write: of the value as the file has it, to text. read: of the text, to the value; raises ValueError.
    """

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _words(value: Sequence[Any]) -> str:
    return shlex.join(str(word) for word in value)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"the quotes do not match: {str(error).lower()}") from error


def _pairs(value: Mapping[str, Any]) -> str:
    return shlex.join(f"{key}={item}" for key, item in value.items())


def _read_pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in _split(text):
        key, separator, item = word.partition("=")
        if not separator:
            raise ValueError(f"write {word}=VALUE")
        if key in found:
            raise ValueError(f"{key} stands there twice")
        found[key] = item
    return found


def _variables(value: Sequence[Mapping[str, Any]]) -> str:
    words = []
    for each in value:
        reference = each.get("secretKeyRef")
        plain = str(each.get("value") or "")
        told = f"{_TEXT}{plain}" if plain.startswith((_SECRET, _TEXT)) else plain
        if reference:
            told = f"{_SECRET}{reference['name']}/{reference['key']}"
        words.append(f"{each['name']}={told}")
    return shlex.join(words)


def _read_variables(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for word in _split(text):
        name, separator, told = word.partition("=")
        if not separator:
            raise ValueError(f"write {name}=VALUE, or {name}=secret:NAME/KEY")
        if not told.startswith(_SECRET):
            found.append({"name": name, "value": told.removeprefix(_TEXT)})
            continue
        secret, separator, key = told.removeprefix(_SECRET).partition("/")
        if not (separator and secret and key):
            raise ValueError(f"write {name}=secret:NAME/KEY")
        found.append({"name": name, "secretKeyRef": {"name": secret, "key": key}})
    return found


def _tolerations(value: Sequence[Mapping[str, Any]]) -> str:
    words = []
    for each in value:
        told = str(each.get("key") or "*")
        if each.get("operator") == "Equal":
            told += f"={each.get('value') or ''}"
        words.append(told + (f":{each['effect']}" if each.get("effect") else ""))
    return shlex.join(words)


def _read_tolerations(text: str) -> list[dict[str, Any]]:
    found = []
    for word in _split(text):
        rest, _, effect = word.rpartition(":") if word.rpartition(":")[2] in _EFFECTS else (word, "", "")
        key, separator, value = rest.partition("=")
        told: dict[str, Any] = {} if key == "*" else {"key": key}
        if separator:
            told |= {"operator": "Equal", "value": value}
        if effect:
            told["effect"] = effect
        if not key:
            raise ValueError("write KEY, KEY=VALUE or *, and :NoSchedule or another effect behind it")
        found.append(told)
    return found


def _spread(value: Sequence[Mapping[str, Any]]) -> str:
    words = []
    for each in value:
        skew = each.get("maxSkew", 1)
        told = str(each["topologyKey"]) + (f":{skew}" if skew != 1 else "")
        words.append(told + ("!" if each.get("whenUnsatisfiable") == "DoNotSchedule" else ""))
    return " ".join(words)


def _read_spread(text: str) -> list[dict[str, Any]]:
    found = []
    for word in text.split():
        key, separator, skew = word.removesuffix("!").partition(":")
        told: dict[str, Any] = {"topologyKey": key}
        if separator:
            if not skew.isdecimal():
                raise ValueError(f"write {key}:N, N being how far the replicas may be out of balance")
            told["maxSkew"] = int(skew)
        if word.endswith("!"):
            told["whenUnsatisfiable"] = "DoNotSchedule"
        found.append(told)
    return found


def _workers(value: Mapping[str, Any] | None) -> str:
    return f"{value['pipelineParallelSize']} x {value['tensorParallelSize']}" if value else ""


def _read_workers(text: str) -> dict[str, int]:
    match = _WORKERS.match(text)
    if match is None:
        raise ValueError("write NODES x GPUS, such as 2 x 8")
    return {"pipelineParallelSize": int(match.group(1)), "tensorParallelSize": int(match.group(2))}


def _numbers(value: Sequence[int]) -> str:
    return " ".join(str(number) for number in value)


def _read_numbers(text: str) -> list[int]:
    words = text.replace(",", " ").replace("%", " ").split()
    if any(not word.isdecimal() or len(word) > 9 for word in words):
        raise ValueError("write whole numbers, such as 10 50")
    return [int(word) for word in words]


PLAIN: Final = Text(_plain, lambda text: text)
WORDS: Final = Text(_words, _split)
PAIRS: Final = Text(_pairs, _read_pairs)
VARIABLES: Final = Text(_variables, _read_variables)
TOLERATIONS: Final = Text(_tolerations, _read_tolerations)
SPREAD: Final = Text(_spread, _read_spread)
WORKERS: Final = Text(_workers, _read_workers)
NUMBERS: Final = Text(_numbers, _read_numbers)
