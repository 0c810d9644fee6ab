"""Running a scanner: found, asked for its version, run, and ended when it hangs, floods or fails.

The stand-ins print what Trivy 0.66 and Grype 0.104 print.
"""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import LimitExceededError, NotFoundError, ToolError
from backend.evidence import processes, scanner
from backend.evidence.config import ScannerConfig
from backend.evidence.processes import clean_environment, run_program
from backend.evidence.reports.common import About
from backend.evidence.reports.reading import read_report
from backend.evidence.scanner import Login, Target
from tests.fakes.curation import DIGEST, trivy_report, vulnerability
from tests.fakes.reports import grype_match, grype_report
from tests.fakes.scanners import fake_grype, fake_trivy, program

TARGET = Target(reference=f"nvcr.example/nim/meta/llama@{DIGEST}", host="nvcr.example")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds nothing but what the test puts there."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


async def scanned(config: ScannerConfig | None = None, target: Target = TARGET, **rest: Any) -> bytes:
    config = config or ScannerConfig()
    return await scanner.scan(await scanner.choose(config), target, config, **rest)


async def test_trivy_before_grype_and_either_tells_its_version_and_database(folder: Path) -> None:
    assert await scanner.find(ScannerConfig()) == ()
    with pytest.raises(NotFoundError, match="neither trivy nor grype"):
        await scanner.choose(ScannerConfig())
    fake_grype(folder, grype_report())
    (grype,) = await scanner.find(ScannerConfig())
    assert (grype.name, grype.version, grype.problem) == ("Grype", "0.104.0", "")
    assert grype.database_at == datetime(2026, 11, 18, 6, 26, 54, tzinfo=UTC)
    fake_trivy(folder, trivy_report())
    found = await scanner.find(ScannerConfig())
    assert [each.name for each in found] == ["Trivy", "Grype"]
    assert (found[0].version, found[0].database_at) == ("0.66.0", datetime(2026, 11, 19, 6, 27, 39, 1, tzinfo=UTC))


async def test_a_configured_scanner_that_is_not_there_or_broken_is_told(folder: Path) -> None:
    (missing,) = await scanner.find(ScannerConfig(command="trivy-next"))
    assert "no such program" in missing.problem
    program(folder, "trivy", "sys.exit(3)")
    (broken,) = await scanner.find(ScannerConfig())
    assert "does not tell its version" in broken.problem
    with pytest.raises(NotFoundError, match="status 3"):
        await scanner.choose(ScannerConfig())


@pytest.mark.parametrize("kind", ["trivy", "grype"])
async def test_a_scan_asks_for_the_digest_and_gives_the_report(folder: Path, kind: str) -> None:
    document = trivy_report(vulnerability()) if kind == "trivy" else grype_report(grype_match())
    log = (fake_trivy if kind == "trivy" else fake_grype)(folder, document)
    said: list[str] = []
    report = read_report(await scanned(on_line=said.append), About(digest=DIGEST))
    assert report.counts["critical"] == 1
    told = json.loads(log.read_text())
    assert any(argument.endswith(TARGET.reference) for argument in told["arguments"])
    assert said and "Scanning" in said[-1]


async def test_the_registrys_password_is_in_a_file_for_us_alone_and_never_an_argument(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGC_API_KEY", "top-secret")
    monkeypatch.setenv("TRIVY_CACHE_DIR", "/cache")
    monkeypatch.setenv("TRIVY_SECRET", "top-secret")
    log = fake_trivy(folder, trivy_report())
    target = Target(
        reference=TARGET.reference, host="nvcr.example", insecure=True, ca=Path("/etc/ca.pem"),
        login=Login("$oauthtoken", "hunter2", ""),
    )  # fmt: skip
    await scanned(target=target, withheld={"TRIVY_SECRET"})
    told = json.loads(log.read_text())
    assert "hunter2" not in json.dumps([told["arguments"], told["environment"]]) + repr(target)
    assert "top-secret" not in json.dumps(told)
    assert told["environment"]["TRIVY_CACHE_DIR"] == "/cache" and told["environment"]["TRIVY_NON_SSL"] == "true"
    assert told["environment"]["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert told["docker"] == {"auths": {"nvcr.example": {"auth": "JG9hdXRodG9rZW46aHVudGVyMg=="}}}
    assert told["mode"] == stat.S_IFREG | 0o600 and told["folder_mode"] == stat.S_IFDIR | 0o700
    assert not exists(told["environment"]["DOCKER_CONFIG"])


async def test_a_scanner_that_hangs_is_ended_with_all_that_it_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_GRACE", 0.3)
    pids = tmp_path / "pids"
    fake_trivy(folder, trivy_report(), before=f"""
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(60)
    """)  # fmt: skip
    with pytest.raises(ToolError, match="longer than 1 s"):
        await scanned(ScannerConfig.model_validate({"timeout": "1s"}))
    for pid in map(int, pids.read_text().split()):
        assert not alive(pid)


async def test_cancelling_ends_the_scanner(folder: Path) -> None:
    fake_trivy(folder, trivy_report(), before="""
        import time
        sys.stderr.write(f"{os.getpid()}\\n")
        sys.stderr.flush()
        time.sleep(60)
    """)  # fmt: skip
    said: list[str] = []
    ready = asyncio.Event()

    def hear(line: str) -> None:
        said.append(line)
        ready.set()

    task = asyncio.create_task(scanned(on_line=hear))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(said[0]))


def exists(path: str) -> bool:
    return Path(path).exists()


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_flood_is_ended_and_a_failure_tells_its_last_words(folder: Path) -> None:
    flood = "while True: sys.stdout.write('x' * 65536)"
    with pytest.raises(LimitExceededError, match="more than 1 MiB"):
        await run_program([sys.executable, "-c", f"import sys\n{flood}"], what="scan", environment={}, seconds=30,
                          limit=1 << 20)  # fmt: skip
    fake_trivy(folder, trivy_report(), before="""
        sys.stderr.write("x" * 100_000 + "\\n2026-11-19T10:00:00Z\\tFATAL\\tunable to find the image\\n")
        sys.exit(1)
    """)  # fmt: skip
    with pytest.raises(ToolError, match=r"status 1: .*unable to find the image"):
        await scanned()


async def test_a_program_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ToolError, match="cannot be started"):
            await run_program([str(path)], what="scan", environment={}, seconds=5, limit=10)
    with pytest.raises(ToolError, match="cannot be started"):
        await run_program(["/bin/true", "a\0b"], what="scan", environment={}, seconds=5, limit=10)


def test_a_program_is_given_nothing_that_it_does_not_need() -> None:
    own = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "GRYPE_DB_CACHE_DIR": "/c", "https_proxy": "p", "A": "b"}
    assert clean_environment(own, withheld={"https_proxy"}) == {"PATH": "/bin", "GRYPE_DB_CACHE_DIR": "/c"}
