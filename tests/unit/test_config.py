"""A wrong configuration is told with its file, line and a way to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config import configuration_path, load_configuration
from backend.core.errors import ConfigurationError
from backend.core.toml_lines import key_lines, line_of

_DESIGN_EXAMPLE = """
[yard]
name = "production"
database = "modelyard.db"
confirm = "type-name"
identity = "os"

[[registry]]
name = "ngc"
url = "https://nvcr.io"
username = "$oauthtoken"
password = { env = "NGC_API_KEY" }
credential_realms = ["authn.nvidia.com"]
max_concurrency = 8

[[rule]]
name = "nim-llama"
registry = "ngc"
repositories = ["nim/meta/*"]
exclude_repositories = ["**/*-dev"]
tags = { versions = ">=1.3,<3" }
types = ["chat", "embedding"]
platforms = ["linux/amd64"]
newest = 20
every = "15m"
enabled = true
max_new = 500

[policy]
approvals = 2
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 0
max_high = 5
max_age = "7d"
[[policy.gate]]
kind = "signature"
keys = ["keys/platform.pub"]
[[policy.gate]]
kind = "licence"
allow = ["Apache-2.0", "MIT", "LicenseRef-NVIDIA-*"]

[[role]]
name = "approver"
users = []
groups = ["ml-approvers"]

[[cluster]]
context = "prod"
namespaces = ["llm-prod"]

[enforce]
mode = "off"
namespaces = ["llm-prod"]

[telemetry]
interval = "2s"
keep = "30d"
[[objective]]
services = ["llm-prod/*"]
ttft_p95 = "800ms"
[[alert]]
kind = "gpu-idle"
for = "30m"
"""


def _load(tmp_path: Path, text: str) -> ConfigurationError | None:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load_configuration(file, system_policy=tmp_path / "none")
    except ConfigurationError as error:
        return error
    return None


def test_the_contracts_example_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(_DESIGN_EXAMPLE, encoding="utf-8")
    loaded = load_configuration(file, system_policy=tmp_path / "none")
    assert loaded.settings.yard.name == "production"
    assert loaded.settings.rule[0].newest == 20
    assert loaded.settings.policy.approvals == 2
    assert len(loaded.settings.policy.gate) == 3
    assert loaded.policy_source == "policy: own file"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[yard]\nname = "x"\nnmae = "y"\n', 3, "did you mean 'name'"),
        ("[yard\n", 1, ""),
        (
            '[[registry]]\nname = "a"\nurl = "https://a.example"\n\n[[registry]]\nname = "b"\n',
            5,
            "'registry.1.url' is missing",
        ),
        ('[[registry]]\nname = "a"\nurl = "http://a.example"\n', 1, "insecure"),
        ('[[registry]]\nname = "a"\nurl = "https://a.example"\npassword = "hunter2"\n', 4, "never written here"),
        ('[[rule]]\nname = "r"\nregistry = "nowhere"\n', 3, "not configured"),
        ('[policy]\napprovals = 1\n\n[[policy.gate]]\nkind = "vulnerabilities"\nmax_criticl = 0\n', 6, "max_criticl"),
        ('[telemetry]\ninterval = "2 parsecs"\n', 2, "duration"),
        ("[nonsense]\na = 1\n", 1, "unknown key 'nonsense'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    error = _load(tmp_path, text)
    assert error is not None
    assert error.exit_code == 2
    assert error.line == line, str(error)
    assert said in str(error)
    assert "hunter2" not in str(error)


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_configuration(tmp_path / "missing.toml")


def test_without_any_file_everything_has_its_default(tmp_path: Path) -> None:
    loaded = load_configuration(system_policy=tmp_path / "none")
    assert not loaded.exists
    assert loaded.settings.registry == ()


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_CONFIG", str(tmp_path / "other.toml"))
    assert configuration_path() == tmp_path / "other.toml"


def test_two_registries_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = '[[registry]]\nname = "a"\nurl = "https://a.example"\n' * 2
    assert "two [[registry]]" in str(_load(tmp_path, twice))


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_configuration(file)


def test_a_system_policy_replaces_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, system = tmp_path / "config.toml", tmp_path / "policy.toml"
    own.write_text("[policy]\napprovals = 1\n", encoding="utf-8")
    system.write_text("[policy]\napprovals = 3\n", encoding="utf-8")
    system.chmod(0o644)
    monkeypatch.setattr("backend.config._require_root_owned", lambda _file: None)
    loaded = load_configuration(own, system_policy=system)
    assert loaded.settings.policy.approvals == 3
    assert loaded.policy_source == str(system)
    assert "is not used" in loaded.notes[0]


def test_the_scanner_is_policys_where_there_is_a_system_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.config._require_root_owned", lambda _file: None)
    system, own = tmp_path / "policy.toml", tmp_path / "config.toml"
    own.write_text('[scanner]\ncommand = "/home/robin/trivy"\n')
    system.write_text("[policy]\napprovals = 2\n")
    system.chmod(0o644)
    assert load_configuration(own, system_policy=tmp_path / "none").settings.scanner.command == "/home/robin/trivy"
    loaded = load_configuration(own, system_policy=system)
    assert loaded.settings.scanner.command == "" and "[scanner]" in loaded.notes[0]
    own.write_text('[scanner]\ntimeout = "3h"\n')
    with pytest.raises(ConfigurationError, match="at most 2h"):
        load_configuration(own, system_policy=tmp_path / "none")


def test_a_system_policy_that_anyone_may_write_is_refused(tmp_path: Path) -> None:
    own, system = tmp_path / "config.toml", tmp_path / "policy.toml"
    own.write_text("", encoding="utf-8")
    system.write_text("[policy]\napprovals = 3\n", encoding="utf-8")
    system.chmod(0o666)
    with pytest.raises(ConfigurationError, match="writable by root alone"):
        load_configuration(own, system_policy=system)


def test_lines_are_found_in_arrays_of_tables_and_past_long_values() -> None:
    text = 'a = """\n[not]\nb = 1\n"""\n[t]\nlist = [\n  "x = 1",\n  { y = 2 },\n]\nz.w = 3\n'
    text += "[[u.v]]\nk = 1\n[[u.v]]\nk = 2\n"
    lines = key_lines(text)
    assert line_of(lines, ("a",)) == 1
    assert line_of(lines, ("t", "list", 1, "y")) == 6
    assert line_of(lines, ("t", "z", "w")) == 10
    assert line_of(lines, ("u", "v", 1, "k")) == 14
    assert ("b",) not in lines


@given(st.text(alphabet="[]={}\"'#\n .abc1", max_size=200))
def test_whatever_the_text_its_lines_are_within_it(text: str) -> None:
    assert all(1 <= number <= len(text.splitlines()) for number in key_lines(text).values())
