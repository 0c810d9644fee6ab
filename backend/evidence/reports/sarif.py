"""SARIF 2.1.0 (OASIS), as `trivy image --format sarif` writes it; other tools' results without package and version.

SARIF has no fields for packages: Trivy puts them into the message's lines, and the image's digests into the run's
properties.
"""

from __future__ import annotations

from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed
from backend.evidence.records import Finding
from backend.evidence.reports.common import About, VulnerabilityReport, deduplicated, severity_of, severity_of_score


class _Text(msgspec.Struct, frozen=True):
    text: str | None = None


class _RuleProperties(msgspec.Struct, frozen=True):
    security_severity: str | None = msgspec.field(name="security-severity", default=None)


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    short_description: _Text | None = None
    properties: _RuleProperties | None = None


class _Driver(msgspec.Struct, frozen=True):
    name: str
    version: str | None = None
    rules: list[_Rule] | None = None


class _Tool(msgspec.Struct, frozen=True):
    driver: _Driver


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    rule_id: str | None = None
    level: str | None = None
    message: _Text | None = None


class _RunProperties(msgspec.Struct, frozen=True, rename="camel"):
    repo_digests: list[str] | None = None


class _Run(msgspec.Struct, frozen=True):
    tool: _Tool
    results: list[_Result] | None = None
    properties: _RunProperties | None = None


class _Log(msgspec.Struct, frozen=True):
    version: str
    runs: list[_Run]


_DECODER: Final = msgspec.json.Decoder(_Log)


def read(data: bytes, about: About) -> VulnerabilityReport:
    """Read a log.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no SARIF 2.1, holds no run, or is about another digest or none.
    """
    log = decode(data, _DECODER, about.what, REPORT_LIMIT)
    if not log.version.startswith("2.1"):
        raise malformed(about.what, f"it is SARIF {clean(log.version, 20)!r}; 2.1 is read")
    if not log.runs:
        raise malformed(about.what, "no run is in it")
    for run in log.runs:
        named = (run.properties.repo_digests if run.properties else None) or ()
        about.check(named, "runs[].properties.repoDigests")
    check_count(sum(len(run.results or ()) for run in log.runs), about.what, "findings")
    first = log.runs[0].tool.driver
    return VulnerabilityReport(
        digest=about.digest,
        program=clean(first.name, 80),
        version=clean(first.version, 80),
        # SARIF's invocations tell times, and no scanner of images fills them in.
        created_at=None,
        database_at=None,
        targets=1,
        findings=deduplicated(
            _finding(result, {rule.id: rule for rule in run.tool.driver.rules or ()})
            for run in log.runs
            for result in run.results or ()
            if result.rule_id
        ),
    )


def _finding(result: _Result, rules: dict[str, _Rule]) -> Finding:
    rule = rules.get(result.rule_id or "")
    text = (result.message.text if result.message else None) or ""
    told = dict(_pairs(text))
    title = rule.short_description.text if rule and rule.short_description else None
    return Finding(
        id=clean(result.rule_id, 200),
        severity=_severity(result, rule, told),
        package=clean(told.get("Package"), 300),
        version=clean(told.get("Installed Version"), 200),
        fixed=clean(told.get("Fixed Version"), 300),
        title=clean(title or text, 500),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    lines = (line.partition(": ") for line in text[:4096].splitlines())
    return [(name.strip(), value.strip()) for name, colon, value in lines if colon]


def _severity(result: _Result, rule: _Rule | None, told: dict[str, str]) -> str:
    if "Severity" in told:
        return severity_of(told["Severity"])
    score = rule.properties.security_severity if rule and rule.properties else None
    try:
        return severity_of_score(float(score or ""))
    except ValueError:
        return severity_of(result.level)
