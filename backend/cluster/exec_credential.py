"""Running a kubeconfig's exec plugin, by `client.authentication.k8s.io` v1 and v1beta1.

kubernetes' own runner has no time limit, gives the plugin this process' terminal to read from, and turns a failure
into a log line and a request without credentials; none of that is usable under a full-screen program.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.cluster.kubeconfig import KubeContext
from backend.cluster.objects import parsed_time
from backend.core.errors import AuthenticationError, ConfigurationError
from backend.core.text import sanitise

_VERSIONS: Final = frozenset({"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"})
_MAX_OUTPUT: Final = 1024 * 1024
_TIMEOUT: Final = 60.0


class ExecCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What the plugin gave: a token, or a client certificate with its key (PEM), and until when."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires_at: datetime | None = None


class _Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str | None = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


async def run_plugin(context: KubeContext, *, patience: float = _TIMEOUT) -> ExecCredential:
    """The credential of a context's exec plugin.

    Args:
        context: one whose user has an `exec` table.
        patience: seconds until the plugin is ended.

    Raises:
        ConfigurationError: the table is malformed, the plugin is not installed or needs a terminal.
        AuthenticationError: the plugin failed, took too long, or gave no credential.
    """
    plugin = context.user["exec"]
    command, arguments, environment = _call(context, plugin)
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_OUTPUT,
        )
    except OSError as error:
        hint = sanitise(str(plugin.get("installHint") or f"install {command}"), 400)
        raise ConfigurationError(
            f"the sign-in program {command} of context {context.name!r} cannot be run: {error.strerror}",
            hint,
            path=context.path,
        ) from error
    what = f"sign-in to context {context.name}"
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), patience)
    except TimeoutError as error:
        raise AuthenticationError(
            what, f"{command} did not answer within {patience:g} s", f"run {command} by hand and see what it waits for"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        told = sanitise(complaint.decode("utf-8", "replace").strip().replace("\n", " "), 400)
        raise AuthenticationError(
            what,
            f"{command} ended with status {process.returncode}{': ' if told else ''}{told}",
            f"run {command} by hand, or sign in again",
        )
    return _read(output, what, command, str(plugin["apiVersion"]))


def _call(context: KubeContext, plugin: Any) -> tuple[str, list[str], dict[str, str]]:
    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(f"exec of user {context.user_name!r}: {why}", "correct it", path=context.path)

    if not isinstance(plugin, dict) or not isinstance(plugin.get("command"), str) or not plugin["command"]:
        raise wrong("it names no command")
    if plugin.get("apiVersion") not in _VERSIONS:
        raise wrong(f"apiVersion {plugin.get('apiVersion')!r} is none of {', '.join(sorted(_VERSIONS))}")
    if plugin.get("interactiveMode") == "Always":
        raise wrong("the plugin asks questions on the terminal (interactiveMode Always), which the screen needs")
    arguments = plugin.get("args") or []
    variables = plugin.get("env") or []
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        raise wrong("args is no list of texts")
    if not isinstance(variables, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("value"), str)
        for item in variables
    ):
        raise wrong("env is no list of names and values")
    environment = {**os.environ, **{item["name"]: item["value"] for item in variables}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(_information(context, plugin))
    return plugin["command"], arguments, environment


def _information(context: KubeContext, plugin: Mapping[str, Any]) -> dict[str, Any]:
    specification: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        keys = (
            "server",
            "certificate-authority-data",
            "insecure-skip-tls-verify",
            "tls-server-name",
            "proxy-url",
        )
        specification["cluster"] = {key: context.cluster[key] for key in keys if key in context.cluster}
    return {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": specification}


def _read(output: bytes, what: str, command: str, version: str) -> ExecCredential:
    def wrong(why: str) -> AuthenticationError:
        return AuthenticationError(what, f"{command} {why}", f"run {command} by hand, or update it")

    if len(output) > _MAX_OUTPUT:
        raise wrong("printed more than 1 MiB")
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong("printed what is no ExecCredential") from error
    status = answer.status
    if answer.kind != "ExecCredential" or status is None:
        raise wrong("printed what is no ExecCredential with a status")
    if answer.api_version != version:
        raise wrong(f"answers in {sanitise(answer.api_version, 80)} where the kubeconfig asks for {version}")
    if not status.token and not (status.client_certificate_data and status.client_key_data):
        raise wrong("gave neither a token nor a client certificate with its key")
    return ExecCredential(
        token=status.token,
        certificate=status.client_certificate_data,
        key=status.client_key_data,
        expires_at=parsed_time(status.expiration_timestamp),
    )
