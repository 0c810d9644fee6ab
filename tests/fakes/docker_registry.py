"""A real registry on loopback for tests: Debian's `docker-registry`, with images made by umoci, skopeo and buildah.

Use it as a context manager:

    with DockerRegistry() as registry:
        digest = registry.push("nim/meta/llama", "1.3.0", labels={"com.nvidia.nim.type": "llm"})

It is OCI 1.0: it knows no referrers API and pages no tags.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

TOOLS = ("docker-registry", "skopeo", "umoci")


def require_tools(*tools: str) -> None:
    """Skip the test when a program is missing; on CI, where all must be there, fail it."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} missing")
    if missing:
        pytest.skip(f"{', '.join(missing)} missing")


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class DockerRegistry:
    """A registry process with its storage in a temporary folder.

    Args:
        users: names and passwords, for HTTP Basic authentication; none: it asks for nothing.
        token: the `auth.token` section of its configuration (realm, service, issuer, rootcertbundle), for Bearer.
        certificate: certificate and key (PEM files), to serve TLS.
        client_authority: who must have signed the certificate that a client shows; None: it need not show one.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        token: Mapping[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
        client_authority: Path | None = None,
        port: int | None = None,
    ) -> None:
        require_tools(*TOOLS, *(("htpasswd",) if users else ()))
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.scheme = "https" if certificate else "http"
        self.url = f"{self.scheme}://{self.host}"
        self.users = dict(users or {})
        self._token = dict(token or {})
        self._certificate = certificate
        self._client_authority = client_authority
        self._folder = Path(tempfile.mkdtemp(prefix="modelyard-registry-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DockerRegistry:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def storage(self) -> Path:
        """Where tags lie as folders: `docker/registry/v2/repositories/NAME/_manifests/tags/TAG`."""
        return self._folder / "storage"

    def start(self) -> None:
        """Start it, again after `stop` too, and wait until it answers."""
        configuration = self._folder / "config.yml"
        configuration.write_text(yaml.safe_dump(self._settings()))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"docker-registry did not start: {self.log()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it; what was pushed stays until the context ends."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        """What it logged so far."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def push(
        self,
        repository: str,
        tag: str,
        *,
        labels: Mapping[str, str] | None = None,
        environment: Sequence[str] = (),
        entrypoint: Sequence[str] = (),
        architecture: str = "amd64",
    ) -> str:
        """Make a small image and push it; returns the digest of its manifest."""
        layout = Path(tempfile.mkdtemp(dir=self._folder)) / "layout"
        _call("umoci", "init", "--layout", str(layout))
        _call("umoci", "new", "--image", f"{layout}:image")
        # The tag is a label too, so that two tags of a repository have two digests.
        marks = {"modelyard.test/tag": tag, **(labels or {})}
        arguments = [f"--config.label={name}={value}" for name, value in marks.items()]
        arguments += [f"--config.env={pair}" for pair in environment]
        arguments += [f"--config.entrypoint={word}" for word in entrypoint]
        _call("umoci", "config", "--image", f"{layout}:image", f"--architecture={architecture}", *arguments)
        return self.copy(f"oci:{layout}:image", repository, tag)

    def copy(self, source: str, repository: str, tag: str) -> str:
        """Push what skopeo calls `source`; returns the digest that the registry then has under the tag."""
        digest_file = self._folder / "digest"
        _call(
            "skopeo", "--insecure-policy", "copy", "--all", f"--digestfile={digest_file}", "--dest-tls-verify=false",
            *self._login("--dest-creds"), source, f"docker://{self.host}/{repository}:{tag}",
        )  # fmt: skip
        return digest_file.read_text().strip()

    def push_index(self, repository: str, tag: str, architectures: Sequence[str] = ("amd64", "arm64")) -> str:
        """Push one image a architecture under tags of their own, and an index of them; returns the index's digest."""
        require_tools("buildah")
        name = f"localhost/modelyard-test-{os.getpid()}-{time.monotonic_ns()}"
        buildah = ["buildah", "--storage-driver=vfs", f"--root={self._folder}/images", f"--runroot={self._folder}/run"]
        _call(*buildah, "manifest", "create", name)
        for architecture in architectures:
            self.push(repository, f"{tag}-{architecture}", architecture=architecture)
            _call(
                *buildah, "manifest", "add", f"--arch={architecture}", "--tls-verify=false", *self._login("--creds"),
                name, f"docker://{self.host}/{repository}:{tag}-{architecture}",
            )  # fmt: skip
        digest_file = self._folder / "digest"
        _call(
            *buildah, "manifest", "push", "--all", "--tls-verify=false", f"--digestfile={digest_file}",
            *self._login("--creds"), name, f"docker://{self.host}/{repository}:{tag}",
        )  # fmt: skip
        return digest_file.read_text().strip()

    def remove_tag(self, repository: str, tag: str) -> None:
        """Make the tag go away as a registry's operator would; its content stays."""
        shutil.rmtree(self.storage / "docker/registry/v2/repositories" / repository / "_manifests/tags" / tag)

    def _login(self, option: str) -> list[str]:
        return [f"{option}={name}:{password}" for name, password in list(self.users.items())[:1]]

    def _settings(self) -> dict[str, object]:
        http: dict[str, object] = {"addr": self.host, "secret": "for-tests"}
        if self._certificate:
            certificate, key = self._certificate
            tls: dict[str, object] = {"certificate": str(certificate), "key": str(key)}
            if self._client_authority is not None:
                tls["clientcas"] = [str(self._client_authority)]
            http["tls"] = tls
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True}},
            "http": http,
        }
        if self.users:
            lines = [
                subprocess.run(["htpasswd", "-Bbn", *pair], check=True, capture_output=True, text=True).stdout.strip()
                for pair in self.users.items()
            ]
            passwords = self._folder / "htpasswd"
            passwords.write_text("\n".join(lines) + "\n")
            settings["auth"] = {"htpasswd": {"realm": "modelyard tests", "path": str(passwords)}}
        elif self._token:
            settings["auth"] = {"token": self._token}
        return settings

    def _answers(self) -> bool:
        if self._certificate:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urllib.request.urlopen(f"{self.url}/v2/", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False


def inspect_digest(reference: str) -> str:
    """The digest that skopeo sees under `host:port/name:tag`; the second opinion in tests."""
    out = _call("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}")
    digest: str = json.loads(out)["Digest"]
    return digest


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr[-2000:]}")
    return done.stdout
