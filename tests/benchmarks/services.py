"""5,000 InferenceServices as rows, from exec, beside kubectl on the same API server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Figure, SkippedError
from tests.benchmarks.setting import MODELYARD, PODS, SERVICES, cluster, home

_TIMES: Final = 7
_REAL: Final = "MODELYARD_TEST_KUBECONFIG"


def services_5k() -> Figure:
    """`modelyard deploy status` beside `kubectl get inferenceservices -A` on the demo's API server."""
    kubectl = _kubectl()
    with home() as place, cluster(pods=PODS) as server:
        place.name_cluster(server.url)
        ours, peer = _compared(kubectl, place.environment, SERVICES)
    return _figure("services-5k", ours, peer, limit=1.5, where="the demo's API server")


def services_real() -> Figure:
    """The same on the real API server that `$MODELYARD_TEST_KUBECONFIG` names, with the services that it has."""
    kubectl = _kubectl()
    kubeconfig = os.environ.get(_REAL)
    if not kubeconfig:
        raise SkippedError(f"{_REAL} names no real cluster")
    with home() as place:
        environment = {**place.environment, "KUBECONFIG": str(Path(kubeconfig).absolute())}
        ours, peer = _compared(kubectl, environment, 1)
    return _figure("services-real", ours, peer, limit=1.0, where="a real API server")


def _figure(name: str, ours: float, peer: float, *, limit: float, where: str) -> Figure:
    return Figure(
        name=name,
        unit="s",
        ours=ours,
        peer=peer,
        ratio=ours / peer,
        limit=limit,
        budget=f"{limit:g} times kubectl on {where}",
    )


def _kubectl() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise SkippedError("kubectl is not installed")
    return found


def _compared(kubectl: str, environment: Mapping[str, str], at_least: int) -> tuple[float, float]:
    """The best time of ours and of kubectl, measured in turns so that both have the same machine."""
    commands = ([*MODELYARD, "deploy", "status"], [kubectl, "get", "inferenceservices", "-A"])
    for command in commands:
        _timed(command, environment, at_least)
    best = [float("inf"), float("inf")]
    for _ in range(_TIMES):
        for position, command in enumerate(commands):
            best[position] = min(best[position], _timed(command, environment, at_least))
    return best[0], best[1]


def _timed(command: Sequence[str], environment: Mapping[str, str], at_least: int) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(environment), capture_output=True, timeout=120, check=False)
    took = time.perf_counter() - started
    lines = done.stdout.count(b"\n")
    if done.returncode != 0 or lines < at_least:
        told = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise SkippedError(f"{command[-3:]} printed {lines} lines and ended with {done.returncode}: {told}")
    return took
