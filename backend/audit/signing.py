"""Signatures by OpenSSH keys, which anybody can check without this program.

`ssh-keygen -Y sign` and `-Y verify` (OpenSSH 8.2 and later; the format is PROTOCOL.sshsig of OpenSSH): the key may be
in a file, in an agent that is forwarded to the bastion, or on a FIDO token.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from backend.core.errors import RefusedError, UsageError
from backend.core.text import sanitise

NAMESPACE: Final = "modelyard"
_PROGRAM: Final = "ssh-keygen"
#: A person may have to type a passphrase, or touch a token.
_SIGN_SECONDS: Final = 120.0
_CHECK_SECONDS: Final = 20.0
_GOOD: Final = re.compile(r"with (\S+) key (SHA256:\S+)")
_SIGNER: Final = re.compile(r"[^\s*?!,\x00-\x1f]{1,200}\Z")


async def sign(file: Path, key: Path) -> Path:
    """Sign a file; the signature is put beside it as `NAME.sig`.

    Args:
        key: a private key, or a public key whose private part an agent holds.

    Returns:
        the signature's path.

    Raises:
        UsageError: there is no such key, or OpenSSH is not installed.
        RefusedError: the key did not sign.
    """
    if not await asyncio.to_thread(key.is_file):
        raise UsageError(f"key {key}", "there is no such file", "name an SSH key, such as ~/.ssh/id_ed25519")
    status, told = await _run(
        ["-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(file)], limit=_SIGN_SECONDS, standard_input=None
    )
    signature = file.with_name(f"{file.name}.sig")
    if status != 0 or not await asyncio.to_thread(signature.is_file):
        raise RefusedError(
            f"signing with {key}", told or f"ssh-keygen ended with {status}", "check the key, or its agent"
        )
    return signature


async def signer_of(file: Path, signature: Path, *, allowed: Path | None, name: str = "") -> tuple[str, str]:
    """Who signed a file.

    Args:
        allowed: OpenSSH's list of allowed signers (ssh-keygen(1), ALLOWED SIGNERS); None: only the key is told.
        name: who it has to be; empty: whoever the list knows the key of.

    Returns:
        the signer (`NAME`, or `key SHA256:... (not checked against allowed signers)`), and why the signature does not
        hold, of which one is empty.

    Raises:
        UsageError: OpenSSH is not installed, or the list cannot be read.
    """
    data = await asyncio.to_thread(file.read_bytes)
    if allowed is None:
        status, told = await _run(
            ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)], limit=_CHECK_SECONDS, standard_input=data
        )
        match = _GOOD.search(told)
        if status != 0 or match is None:
            return "", told or "the signature does not hold"
        return f"key {match.group(2)} (not checked against allowed signers)", ""
    if not await asyncio.to_thread(allowed.is_file):
        raise UsageError(f"allowed signers {allowed}", "there is no such file", "name a file in OpenSSH's format")
    if not name:
        status, told = await _run(
            ["-Y", "find-principals", "-s", str(signature), "-f", str(allowed)],
            limit=_CHECK_SECONDS,
            standard_input=data,
        )
        name = told.splitlines()[0].strip() if status == 0 and told else ""
        if not name:
            return "", "none of the allowed signers has signed it"
    if not _SIGNER.match(name):
        return "", "the signer's name is not one that a list of allowed signers can hold"
    status, told = await _run(
        ["-Y", "verify", "-f", str(allowed), "-I", name, "-n", NAMESPACE, "-s", str(signature)],
        limit=_CHECK_SECONDS, standard_input=data,
    )  # fmt: skip
    return (name, "") if status == 0 else ("", told or f"it was not signed by {name}")


async def _run(arguments: list[str], *, limit: float, standard_input: bytes | None) -> tuple[int, str]:
    """Run ssh-keygen; gives its status and what it said, safe to show. Without input it may ask on the terminal."""
    try:
        process = await asyncio.create_subprocess_exec(
            _PROGRAM, *arguments,
            stdin=asyncio.subprocess.DEVNULL if standard_input is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError("ssh-keygen", "it is not installed", "install OpenSSH's client, 8.2 or later") from error
    try:
        output, _ = await asyncio.wait_for(process.communicate(standard_input), limit)
    except TimeoutError:
        return 1, f"it did not answer within {limit:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return process.returncode or 0, "\n".join(sanitise(line, 300) for line in lines[:5])
