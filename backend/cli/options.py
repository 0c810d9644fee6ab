"""Options that every command takes, wherever they stand among the command's words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backend.core.errors import UsageError


class OutputFormat(StrEnum):
    """How a command prints."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


class GlobalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said of the whole command.

    Attributes:
        config: the configuration file, or None for the usual place.
        database: the database file, or None for the configured one.
        context: of the kubeconfig, or None.
        read_only: nothing may be changed.
        debug: log more, and show tracebacks.
        output: how to print.
        yes: do not ask.
    """

    config: Path | None = None
    database: Path | None = None
    context: str | None = None
    read_only: bool = False
    debug: bool = False
    output: OutputFormat = OutputFormat.TABLE
    yes: bool = False


_WITH_VALUE: Final = {
    "--config": "config",
    "--db": "database",
    "--context": "context",
    "--output": "output",
    "-o": "output",
}
_FLAGS: Final = {"--read-only": "read_only", "--debug": "debug", "--yes": "yes", "-y": "yes"}

#: Options of single commands that take a value: what follows them is not looked at, even if it starts with a dash.
COMMAND_OPTIONS_WITH_VALUE: Final = frozenset(
    {
        "--actor",
        "--action",
        "--against",
        "--anchor",
        "--approved-at",
        "--at",
        "--by",
        "--compensating-control",
        "--container",
        "--evidence",
        "--filename",
        "-f",
        "--filter",
        "--finding",
        "--error-rate",
        "--image",
        "--latency",
        "--limit",
        "--name",
        "--namespace",
        "-n",
        "--object",
        "--pod",
        "--percent",
        "--reason",
        "--rule",
        "--seed",
        "--since",
        "--tail",
        "--sort",
        "--state",
        "--ticket",
        "--to",
        "--gpu",
        "--metric",
        "--service",
        "--what-if",
        "--window",
        "--until",
    }
)

HELP: Final = """\
Options of every command, before or after its words:
  --config PATH   configuration file             --read-only   change nothing
  --db PATH       database file                  --debug       log more, show tracebacks
  --context NAME  context of the kubeconfig      --yes, -y     do not ask
  -o, --output table|json|yaml|csv (csv: of lists)
"""


def hoist(arguments: Sequence[str]) -> tuple[GlobalOptions, list[str]]:
    """Take the options of every command out of the arguments; what is left is the command's own.

    Raises:
        UsageError: an option lacks its value, or names no output format.
    """
    found: dict[str, object] = {}
    rest: list[str] = []
    words = list(arguments)
    position = 0
    while position < len(words):
        word = words[position]
        name, equals, value = word.partition("=")
        if word == "--":
            rest += words[position:]
            break
        if word in _FLAGS:
            found[_FLAGS[word]] = True
        elif name in _WITH_VALUE and (equals or word in _WITH_VALUE):
            if not equals:
                position += 1
                if position == len(words):
                    raise UsageError(f"option {name}", "it needs a value", "see modelyard --help")
                value = words[position]
            found[_WITH_VALUE[name]] = _typed(_WITH_VALUE[name], value)
        else:
            rest.append(word)
            if word in COMMAND_OPTIONS_WITH_VALUE and position + 1 < len(words):
                position += 1
                rest.append(words[position])
        position += 1
    return msgspec.convert(found, GlobalOptions, dec_hook=_as_is), rest


def _typed(field: str, value: str) -> object:
    if field in ("config", "database"):
        if not value:
            raise UsageError(f"option --{field}", "it names no file", "give a path")
        return Path(value)
    if field == "output":
        try:
            return OutputFormat(value)
        except ValueError:
            raise UsageError(
                "option --output", f"there is no format {value!r}", "use table, json, yaml or csv"
            ) from None
    return value


def _as_is(expected: type, value: object) -> object:
    if not isinstance(value, expected):
        raise TypeError(f"expected {expected.__name__}")
    return value
