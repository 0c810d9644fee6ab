"""Benchmark results that somebody measured, as JSON.

The format, version 1; unknown fields, repeated names and numbers that are none are refused:

    {
      "benchmark": 1,
      "image": "registry.example/nim/meta/llama@sha256:...",      the digest that was measured; the digest alone will do
      "measured_at": "2026-11-19T10:00:00Z",
      "hardware": {"accelerator": "NVIDIA H100 80GB HBM3", "count": 2, "driver": "580.95.05", "host": "DGX H100"},
      "runtime": {"name": "vllm", "version": "0.10.1", "arguments": ["--tensor-parallel-size", "2"]},
      "model": {"name": "meta/llama-3.1-8b-instruct", "revision": "", "profile": "", "precision": "bf16"},
      "tool": {"name": "vllm bench serve", "version": "0.10.1"},
      "results": [
        {"name": "ttft_p95", "value": 0.412, "unit": "s", "better": "lower",
         "conditions": {"concurrency": 8, "input_tokens": 512, "output_tokens": 128}}
      ]
    }

`image`, `measured_at`, `hardware.accelerator`, `hardware.count`, `runtime.name` and `results` have to be there: a
figure without what it was measured on is none. A gate asks for a result by its name; one measured under other
conditions gets another name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from backend.core.ports import timestamp
from backend.evidence.decoding import clean, malformed, too_large
from backend.evidence.reports.common import About

#: Predicate type of an attested benchmark, without `https://` in front.
BENCHMARK_PREDICATE: Final = "modelyard.dev/attestation/benchmark/v1"
_LIMIT: Final = 4 * 1024 * 1024
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.:@/-]{0,99}\Z")
_Text = Annotated[str, Field(max_length=300)]
_Told = Annotated[str, Field(min_length=1, max_length=300)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Hardware(_Strict):
    """What it was measured on."""

    accelerator: _Told
    count: int = Field(ge=0, le=100_000)
    driver: _Text = ""
    host: _Text = ""


class Runtime(_Strict):
    """What served the model."""

    name: _Told
    version: _Text = ""
    arguments: list[_Text] = Field(default_factory=list, max_length=200)


class Model(_Strict):
    """What was served."""

    name: _Text = ""
    revision: _Text = ""
    profile: _Text = ""
    precision: _Text = ""


class Tool(_Strict):
    """What measured."""

    name: _Told
    version: _Text = ""


class Result(_Strict):
    """A figure. `better` says which way is good; empty: neither."""

    name: str
    value: FiniteFloat
    unit: Annotated[str, Field(max_length=40)] = ""
    better: Literal["lower", "higher", ""] = ""
    conditions: dict[str, str | int | float] = Field(default_factory=dict, max_length=40)

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError("a name is lower-case letters, digits and _ . : @ / -, at most 100")
        return name


class Benchmark(_Strict):
    """A whole document."""

    benchmark: Literal[1]
    image: _Told
    measured_at: Annotated[datetime, Field(strict=False)]
    hardware: Hardware
    runtime: Runtime
    model: Model = Model()
    tool: Tool | None = None
    results: list[Result] = Field(min_length=1, max_length=1_000)

    @field_validator("measured_at")
    @classmethod
    def _time_is_whole(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("measured_at needs a time zone")
        return at.astimezone(UTC)

    @field_validator("results")
    @classmethod
    def _names_are_distinct(cls, results: list[Result]) -> list[Result]:
        names = [each.name for each in results]
        if len(set(names)) < len(names):
            raise ValueError("a result's name is given twice")
        return results

    @property
    def where(self) -> str:
        """On what, in a clause: `2 x NVIDIA H100 80GB HBM3, vllm 0.10.1`."""
        hardware = f"{self.hardware.count} x {self.hardware.accelerator}"
        return clean(f"{hardware}, {self.runtime.name} {self.runtime.version}".strip(), 300)

    def payload(self) -> dict[str, Any]:
        """What gates read (`backend.evidence.records`)."""
        shared = {
            "hardware": clean(self.hardware.accelerator),
            "accelerators": self.hardware.count,
            "runtime": clean(f"{self.runtime.name} {self.runtime.version}".strip()),
            "at": timestamp(self.measured_at),
        }
        results = [
            {"name": each.name, "value": each.value, "unit": clean(each.unit), "better": each.better, **shared}
            for each in self.results
        ]
        return {"metrics": {each["name"]: each for each in results}, "results": results}


def read_benchmark(data: bytes, about: About, now: datetime) -> Benchmark:
    """Read a benchmark's results.

    Args:
        now: what was measured later than that, give or take a clock's error, was not measured.

    Raises:
        LimitExceededError: it is larger than 4 MiB.
        MalformedDataError: it is not of the format, or about another digest or none.
    """
    if len(data) > _LIMIT:
        raise too_large(about.what, len(data), _LIMIT)
    try:
        found = Benchmark.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise malformed(about.what, f"{where}: {first['msg']}") from error
    about.check([found.image], "image")
    if found.measured_at > now + timedelta(minutes=10):
        raise malformed(about.what, "measured_at is in the future")
    return found
