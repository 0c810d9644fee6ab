"""Stand-ins for scanners: small programs that print what Trivy 0.66 and Grype 0.104 print."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRIVY_VERSION = {
    "Version": "0.66.0",
    "VulnerabilityDB": {
        "Version": 2,
        "NextUpdate": "2026-11-20T06:27:39.000001Z",
        "UpdatedAt": "2026-11-19T06:27:39.000001Z",
        "DownloadedAt": "2026-11-19T09:59:01.5Z",
    },
}
GRYPE_VERSION = {
    "application": "grype", "buildDate": "2026-10-30T12:00:00Z", "compiler": "gc", "gitCommit": "ab",
    "goVersion": "go1.25", "platform": "linux/amd64", "supportedDbSchema": 6, "syftVersion": "v1.37.0",
    "version": "0.104.0",
}  # fmt: skip
GRYPE_DATABASE = {
    "schemaVersion": "v6.1.3", "from": "https://grype.anchore.io/x", "built": "2026-11-18T06:26:54Z", "path": "/x",
    "valid": True,
}  # fmt: skip

_BODY = """
told = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
}
folder = os.environ.get("DOCKER_CONFIG")
if folder:
    file = os.path.join(folder, "config.json")
    told |= {"docker": json.load(open(file)), "mode": os.stat(file).st_mode, "folder_mode": os.stat(folder).st_mode}
with open(LOG, "w") as log:
    json.dump(told, log)
sys.stderr.write("2026-11-19T10:00:00Z\\tINFO\\tScanning the image...\\n")
sys.stdout.write(open(REPORT).read())
"""


def program(folder: Path, name: str, body: str) -> Path:
    """An executable Python program of that name."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{textwrap.dedent(body)}\n")
    path.chmod(0o755)
    return path


def fake_trivy(folder: Path, report: Mapping[str, Any], *, before: str = "") -> Path:
    """A `trivy` that answers `version` and otherwise prints the report.

    Args:
        before: what it does first when it scans.

    Returns:
        the file into which it writes what it was called with.
    """
    version = f'if sys.argv[1] == "version":\n    print({json.dumps(json.dumps(TRIVY_VERSION))})\n    sys.exit(0)\n'
    return _scanner(folder, "trivy", version, report, before)


def fake_grype(folder: Path, report: Mapping[str, Any], *, before: str = "") -> Path:
    """A `grype` that answers `version` and `db status`, and otherwise prints the report."""
    version = (
        f'if sys.argv[1] == "version":\n    print({json.dumps(json.dumps(GRYPE_VERSION))})\n    sys.exit(0)\n'
        f'if sys.argv[1] == "db":\n    print({json.dumps(json.dumps(GRYPE_DATABASE))})\n    sys.exit(0)\n'
    )
    return _scanner(folder, "grype", version, report, before)


def _scanner(folder: Path, name: str, version: str, report: Mapping[str, Any], before: str) -> Path:
    document, log = folder / f"{name}.report", folder / f"{name}.log"
    document.write_text(json.dumps(report))
    paths = f"LOG = {str(log)!r}\nREPORT = {str(document)!r}\n"
    program(folder, name, f"{version}{textwrap.dedent(before)}\n{paths}{_BODY}")
    return log
