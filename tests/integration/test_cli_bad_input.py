"""Bad input: each gives one line, the contract's exit status, no traceback, and no secret anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.cli import Place, modelyard
from tests.fakes.cli_cluster import ThreadedCluster
from tests.fakes.cli_registry import CONFIG, MANIFEST, Answer, answering, image_registry, place_of
from tests.fakes.docker_registry import free_port

PLANTED = "planted-secret-5d1e"
DEPLOYMENT = f"name: chat\nnamespace: llm-prod\nimage: r.io/a@sha256:{'a' * 64}\nresources: {{gpu: 1, memory: 48Gi}}\n"


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("x = = 1\n", 5, "Invalid value"),
        ("[registry]\n", 5, "registry"),
        ("[[registry]]\nname = 'a'\nurl = 'https://a'\npasword = 'x'\n", 8, "did you mean 'password'"),
        ("[policy]\napprovals = 'many'\n", 6, "policy.approvals"),
        ("[[registry]]\nname = 'a'\nurl = 'http://a'\n", 5, "insecure = true"),
        (f"[[registry]]\nname = 'a'\nurl = 'https://a'\nusername = 'u'\npassword = '{PLANTED}'\n", 9, "never written"),
        ("[[rule]]\nname = 'x'\nregistry = 'nowhere'\n", 7, "nowhere"),
        ("[yard]\n", 5, "twice"),
    ],
)
def test_a_wrong_configuration_names_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    place = Place(tmp_path, text)
    wrong = place.run("images", "list")
    assert wrong.code == 2 and wrong.out == ""
    assert f"{place.config}:{line}: " in wrong.error and told in wrong.error
    assert PLANTED not in wrong.err and PLANTED.encode() not in place.written()
    assert not place.database.exists()


def test_a_configuration_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.config.write_bytes(b"\xff\xfe")
    assert place.run("doctor").code == 2
    place.config.unlink()
    assert "no such file" in place.run("doctor").error
    place.config.mkdir()
    assert "directory" in place.run("doctor").error


@pytest.mark.parametrize("secret", ['{ env = "NOT_SET_ANYWHERE" }', '{ file = "not-there" }'])
def test_a_secret_that_is_missing_is_bad_configuration(tmp_path: Path, secret: str) -> None:
    def asks(path: str) -> Answer:
        return 401, {"WWW-Authenticate": 'Basic realm="r"'}, b""

    with answering(asks) as url:
        missing = place_of(tmp_path, url, 'username = "u"', f"password = {secret}").run("sync", "-o", "json")
    assert missing.code == 2
    assert "NOT_SET_ANYWHERE" in missing.error or "not-there" in missing.error
    assert [failure["misconfigured"] for failure in missing.data["failed"]] == [True]


# ---------------------------------------------------------------- registries


HTML = b"<html><body>Welcome \x1b[31mto \x1b]0;owned\x07 the proxy</body></html>"
KINDS = {"html": "text/html", "json": "application/json"}


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("html", HTML, "web page"),
        ("json", HTML, "cannot be read"),
        ("json", b'{"tags": ["1.0"', "truncated"),
        ("json", b"[1]", "array"),
        ("json", b'{"tags": "1.0"}', "str"),
        ("json", b"[" * 200_000, "cannot be read"),
        ("json", b"", "cannot be read"),
    ],
)
def test_a_registry_that_answers_nonsense(tmp_path: Path, kind: str, body: bytes, told: str) -> None:
    with answering(lambda _: (200, {"Content-Type": KINDS[kind]}, body)) as url:
        place = place_of(tmp_path, url)
        wrong = place.run("sync")
    assert wrong.code == 1 and told in wrong.error
    assert "\x1b" not in wrong.err + wrong.out
    assert place.json("audit", "verify")["intact"] and place.json("images", "list") == []


@pytest.mark.parametrize(
    ("manifest", "config"),
    [
        (MANIFEST.replace(b"amd64", b"arm64") + b" ", CONFIG),
        (MANIFEST[:-3], CONFIG),
        (MANIFEST, CONFIG.replace(b"amd64", b"arm64")),
        (MANIFEST, CONFIG[:-3]),
    ],
    ids=["lying manifest", "cut manifest", "lying configuration", "cut configuration"],
)
def test_bytes_that_are_not_what_they_are_called_are_not_taken_in(
    tmp_path: Path, manifest: bytes, config: bytes
) -> None:
    def lying(path: str) -> Answer:
        return image_registry(path, manifest=manifest, config=config)

    with answering(lying) as url:
        place = place_of(tmp_path, url)
        wrong = place.run("sync", "-o", "json")
        assert wrong.code == 1 and ("digest" in wrong.error or "bytes" in wrong.error), wrong.err
        assert not wrong.data["new"] and len(wrong.data["failed"]) == 1
        assert place.json("images", "list") == [] and place.json("queue", "list") == []
    with answering(image_registry) as honest:
        place.configure(place_of(tmp_path, honest).text)
        assert len(place.json("sync")["new"]) == 1


def test_a_tag_named_with_escape_sequences_is_told_harmlessly_and_not_taken_in(tmp_path: Path) -> None:
    hostile = "1.0\x1b[2J\x1b]0;owned\x07\u202e"

    with answering(lambda path: image_registry(path, tags=("1.0", hostile))) as url:
        place = place_of(tmp_path, url)
        for words in (("sync",), ("sync", "-o", "json"), ("rules", "preview"), ("sync", "--debug", "-o", "yaml")):
            ran = place.run(*words)
            assert ran.code in (0, 1)
            assert "\x1b" not in ran.out + ran.err and "\x07" not in ran.out + ran.err
            assert "\u202e" not in ran.err
    assert [image["tag"] for image in place.json("images", "list")] == ["1.0"]
    assert b"\x1b" not in b"".join(file.read_bytes() for file in place.logs.glob("*"))


@pytest.mark.parametrize("status", [500, 401, 403])
def test_a_registry_that_fails_or_refuses_is_none_that_can_be_reached(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", PLANTED)
    told = {"Content-Type": "application/json"}
    body = json.dumps({"errors": [{"code": "DENIED", "message": f"no entry for {PLANTED}"}]}).encode()
    with answering(lambda _: (status, told, body), login=True) as url:
        place = place_of(tmp_path, url, 'username = "u"', 'password = { env = "REGISTRY_PASSWORD" }')
        refused = place.run("sync", "--debug", "-o", "json")
    assert refused.code == 6
    assert PLANTED not in refused.out + refused.err and PLANTED.encode() not in place.written()


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    port = free_port()
    place = place_of(tmp_path, f"http://127.0.0.1:{port}")
    dead = place.run("sync")
    assert dead.code == 6 and str(port) in dead.error
    assert place.run("rules", "preview").code == 6


# ---------------------------------------------------------------- clusters


@pytest.mark.parametrize(
    ("text", "told"), [("a: [\n", "YAML"), ("words", "no table"), ('{"clusters": 1}', ""), (None, "directory")]
)
def test_a_kubeconfig_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, told: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    place = Place(tmp_path / "place")
    assert place.run("deploy", "status").code == 2
    if text is None:
        kubeconfig.mkdir()
    else:
        kubeconfig.write_text(text)
    for words in (["deploy", "status"], ["runtimes", "list"], ["deploy", "stop", "llm-prod/x", "--yes"]):
        wrong = place.run(*words)
        assert wrong.code == 2 and str(kubeconfig) in wrong.error and told in wrong.error
    assert place.run("images", "list").code == 0


def test_an_expired_token_and_a_cluster_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    place = Place(tmp_path / "place", yard='identity = "cluster"')
    (tmp_path / "d.yaml").write_text(DEPLOYMENT)
    asking = (
        ["deploy", "status"], ["runtimes", "list"], ["gpu"], ["deploy", "plan", "-f", tmp_path / "d.yaml"],
        ["deploy", "stop", "llm-prod/x", "--yes"],
    )  # fmt: skip
    with ThreadedCluster(registry_host="nowhere") as cluster:
        kubeconfig.write_text(cluster.kubeconfig("expired"))
        token = cluster.tokens["expired"]
        for words in asking:
            refused = place.run(*words, "--debug")
            assert refused.code == 6 and "credentials" in refused.err, (words, refused.err)
            assert token not in refused.out + refused.err
        unknown = place.run("deploy", "status", "--context", "nowhere")
        assert unknown.code == 2 and "nowhere" in unknown.error and "robin" in unknown.error
        assert place.run("queue", "list", "-o", "json").data == []
        undecided = place.run("sync")
        assert undecided.code == 2
    for words in asking:
        dead = place.run(*words)
        assert dead.code == 6, (words, dead.err)
        assert dead.error
    assert token.encode() not in place.written()


def test_a_cluster_without_kserve_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    place = Place(tmp_path / "place")
    (tmp_path / "d.yaml").write_text(DEPLOYMENT)
    with ThreadedCluster(registry_host="nowhere", kserve=False) as cluster:
        kubeconfig.write_text(cluster.kubeconfig())
        for words in (
            ["status"], ["status", "llm-prod/x"], ["plan", "-f", tmp_path / "d.yaml"], ["stop", "llm-prod/x", "--yes"],
            ["apply", "-f", tmp_path / "d.yaml", "--yes"], ["export", "llm-prod/x"],
        ):  # fmt: skip
            absent = place.run("deploy", *words)
            assert absent.code == 5 and "KServe is not installed" in absent.error, words
        assert "KServe is not installed" in place.run("runtimes", "list").error
        checks = {check["name"]: check for check in json.loads(place.run("doctor", "-o", "json").out)}
        assert checks["KServe"]["state"] == "absent" and checks["KServe"]["action"]
        assert len(place.json("gpu")) == 32


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    "words",
    [["images", "lst"], ["--nope"], ["images", "list", "-o"], ["images", "list", "--limit", "3"], ["sync", "extra"],
     ["approve"], ["demo", "--seed", "x"], ["-o", "json"], ["deploy", "scale", "x", "-1"]],
)  # fmt: skip
def test_wrong_use(words: list[str]) -> None:
    wrong = modelyard(*words)
    assert wrong.code == 2 and wrong.out == "" and wrong.error
