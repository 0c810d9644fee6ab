"""A machine room with any number of GPUs: for the pane's tests, its benchmark, and to look at.

`python -m tests.fakes.gpu_room 1024` opens the screen on it; the numbers move once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import cycle

import msgspec

from backend.core.events import GpusSampled, Topic
from backend.core.ports import SystemClock
from backend.core.views import (
    CellView,
    GpuNodeView,
    GpuSnapshotView,
    GpuState,
    GpuView,
    LatencyView,
    ModelServerView,
    ObjectiveView,
    PendingView,
    ServiceMetricsView,
)
from tests.fakes import screen_data as data
from tests.fakes.screen_yard import FakeYard

_PER_NODE = 8
_GIB = 1024**3
_MODELS = ("llama-70b", "qwen-vl", "mistral", "bge-embed", "mixtral", "phi-4", "deepseek", "gemma-27b")
_TEAMS = ("chat", "search", "nlp", "vision", "")
_FRAMES = 12


def room(count: int, at: datetime = data.NOW, tick: int = 0) -> GpuSnapshotView:
    """A room of so many GPUs, eight a node; what a GPU is does not change from tick to tick, its load does."""
    gpus = tuple(_gpu(number, count, at, tick) for number in range(count))
    held = sorted({(gpu.namespace, gpu.service) for gpu in gpus if gpu.state is GpuState.BUSY and gpu.service})
    waiting = PendingView(
        context="prod-eu1",
        namespace="llm-prod",
        pod="qwen-vl-1",
        service="qwen-vl",
        resource="nvidia.com/gpu",
        gpus=8,
        since=at - timedelta(minutes=21),
        sentence="8 GPUs on one node: 6 free, no node has more than 3",
    )
    return GpuSnapshotView(
        at=at,
        gpus=gpus,
        servers=tuple(_server(namespace, name, tick) for namespace, name in held),
        services=tuple(_metrics(namespace, name, tick) for namespace, name in held),
        nodes=tuple(_node(number, count) for number in range(-(-count // _PER_NODE))),
        pending=(waiting,) if count > _PER_NODE else (),
        notes=(),
    )


def _gpu(number: int, count: int, at: datetime, tick: int) -> GpuView:
    node, index = divmod(number, _PER_NODE)
    state = _state(node, index)
    model = _MODELS[node % len(_MODELS)]
    held = state is not GpuState.FREE
    busy = state is GpuState.BUSY
    idle_hours = 26.0 + node if state is GpuState.IDLE else 0.0
    noise = random.Random(number * 7919 + tick).random()
    load = min(100.0, 72 + 29 * noise) if busy else 0.0
    old = state is GpuState.UNKNOWN
    is_h100 = node % 4 != 3
    service = f"{model}-{node // len(_MODELS)}" if count > len(_MODELS) * _PER_NODE else model
    cells = (
        CellView(field="tokens_per_second", source="vllm llm-prod/x:8000", age=2.0),
        CellView(field="memory_temperature", source="dcgm", age=None, note="the exporter does not export it"),
    )
    return GpuView(
        key=f"prod-eu1/gpu-{node + 1:03d}/{index}",
        context="prod-eu1",
        node=f"gpu-{node + 1:03d}",
        index=index,
        uuid=f"GPU-{node:04x}{index:04x}-4f4f-77ab",
        product="NVIDIA H100 80GB HBM3" if is_h100 else "NVIDIA A100-SXM4-80GB",
        state=state,
        utilisation=None if old else load,
        engine_active=None if old else load,
        tensor_active=load * 0.4 if busy else None,
        memory_used=(70 if held else 0) * _GIB,
        memory_total=80 * _GIB,
        power=480.0 + 200 * noise if busy else 84.0,
        power_limit=700.0,
        temperature=58.0 + round(9 * noise) if busy else 31.0,
        sm_clock=1755.0 if busy else 345.0,
        throttle=("power cap",) if busy and node == 0 and index == 3 else (),
        namespace="llm-prod" if held else "",
        pod=f"{service}-0" if held else "",
        container="kserve-container" if held else "",
        service=service if held else "",
        rank=index if held else None,
        team=_TEAMS[node % len(_TEAMS)] if held else "",
        image_digest=data.digest_of(model) if held else "",
        approved=(node != 5) if held else None,
        tokens_per_second=round(110 + 60 * noise, 1) if busy else 0.0 if state is GpuState.IDLE else None,
        idle_since=at - timedelta(hours=idle_hours) if idle_hours else None,
        wasted_hours=idle_hours or None,
        idle_cost=idle_hours * 3.0 or None,
        price=3.0,
        currency="USD",
        error="XID 79: the GPU has fallen off the bus" if state is GpuState.FAULT else "",
        xid=79 if state is GpuState.FAULT else None,
        xid_class="hardware" if state is GpuState.FAULT else "",
        xid_at=at - timedelta(minutes=21) if state is GpuState.FAULT else None,
        cordoned=node == 2 and count > 64,
        source="dcgm gpu-operator/dcgm-exporter",
        age=240.0 if old else 1.0,
        cells=cells if busy else (),
    )


def _node(number: int, count: int) -> GpuNodeView:
    return GpuNodeView(
        context="prod-eu1",
        name=f"gpu-{number + 1:03d}",
        pool="h100" if number % 4 != 3 else "a100",
        ready=True,
        cordoned=number == 2 and count > 64,
        taints=("nvidia.com/gpu=present:NoSchedule",),
    )


def _state(node: int, index: int) -> GpuState:
    if node % 16 == 1:
        return GpuState.IDLE
    if node % 32 == 2 and index == 0:
        return GpuState.FAULT
    if node % 8 in {2, 3} and index in {5, 6, 7}:
        return GpuState.FREE
    if node % 64 == 21:
        return GpuState.UNKNOWN
    return GpuState.BUSY


def _server(namespace: str, service: str, tick: int) -> ModelServerView:
    waiting = float(tick % 5)
    return ModelServerView(
        context="prod-eu1",
        namespace=namespace,
        pod=f"{service}-0",
        service=service,
        engine="vllm",
        running=12.0,
        waiting=waiting,
        kv_cache=0.97 if service.startswith("mistral") else 0.41,
        prefix_hits=0.31,
        ttft_p95=0.4,
        inter_token_p95=0.041,
        requests_per_second=4.0,
        prompt_tokens_per_second=8100.0,
        generation_tokens_per_second=930.0,
        bottleneck="KV cache" if service.startswith("mistral") else "",
        evidence="KV cache 97 % full, 41 waiting, engine 62 %" if service.startswith("mistral") else "",
        age=2.0,
    )


def _metrics(namespace: str, service: str, tick: int) -> ServiceMetricsView:
    slow = service.startswith("mistral")
    promised = ObjectiveView(
        name="ttft_p95",
        promised=0.8,
        measured=2.9 if slow else 0.4,
        burn=4.0 if slow else 0.2,
        met=not slow,
        sentence="TTFT p95 2.9 s, promised 0.8 s" if slow else "TTFT p95 0.4 s, promised 0.8 s",
    )
    return ServiceMetricsView(
        context="prod-eu1",
        namespace=namespace,
        service=service,
        engine="vllm",
        replicas=1,
        pods=(f"{service}-0",),
        running=12.0,
        waiting=float(tick % 5),
        kv_cache=0.97 if slow else 0.41,
        prefix_hits=0.31,
        requests_per_second=4.0,
        errors_per_second=0.0,
        error_rate=0.0,
        ttft=LatencyView(p50=0.2, p95=2.9 if slow else 0.4, p99=4.0, at_least=("p99",) if slow else ()),
        inter_token=LatencyView(p50=0.02, p95=0.041, p99=0.06),
        end_to_end=None,
        prompt_tokens_per_second=8100.0,
        generation_tokens_per_second=930.0,
        tokens_per_joule=0.21,
        objectives=(promised,),
        slow=promised.sentence if slow else "",
        age=2.0,
    )


def alone(count: int = 2, at: datetime = data.NOW) -> GpuSnapshotView:
    """A machine of its own, in no cluster: what NVML tells, with its processes."""
    gpus = []
    for index in range(count):
        busy = index == 0
        gpu = GpuView(
            key=f"workstation/{index}",
            node="workstation",
            index=index,
            uuid=f"GPU-{index}0000000-aaaa",
            product="NVIDIA RTX 6000 Ada Generation",
            state=GpuState.BUSY if busy else GpuState.FREE,
            utilisation=83.0 if busy else 0.0,
            engine_active=None,
            memory_used=40 * _GIB if busy else 0,
            memory_total=48 * _GIB,
            power=261.0 if busy else 18.0,
            power_limit=300.0,
            temperature=71.0 if busy else 33.0,
            sm_clock=2505.0 if busy else 210.0,
            memory_clock=10001.0 if busy else 405.0,
            throttle=("power cap",) if busy else (),
            processes=((4711, "python3 -m vllm.entrypoints.openai.api_server", 39 * _GIB), (812, "Xorg", None))
            if busy
            else (),
            source="nvml",
            age=0.5,
        )
        gpus.append(gpu)
    return GpuSnapshotView(at=at, gpus=tuple(gpus), servers=(), notes=("cluster: no kubeconfig",))


class Room(FakeYard):
    """A yard with a room of GPUs, whose numbers move once a second while it runs.

    Args:
        moving: seconds between two samples; 0: the numbers stand still.
    """

    def __init__(self, count: int, *, moving: float = 0.0, local: bool = False) -> None:
        super().__init__()
        now = SystemClock().now() if moving else data.NOW
        make = (lambda tick: alone(count, now)) if local else (lambda tick: room(count, now, tick))
        # They are made before the first is shown: what a frame costs to make is not the screen's to answer for.
        self._frames: Sequence[GpuSnapshotView] = [make(tick) for tick in range(_FRAMES if moving else 1)]
        self.snapshot_view = self._frames[0]
        self._moving = moving
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        if self._moving:
            self._task = asyncio.create_task(self._move())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await super().close()

    async def _move(self) -> None:
        for frame in cycle(self._frames):
            self.snapshot_view = frame
            self.publish(Topic.GPUS, GpusSampled(key="gpus", snapshot=frame))
            await asyncio.sleep(self._moving)


def replaced(snapshot: GpuSnapshotView, key: str, **changes: object) -> GpuSnapshotView:
    """The snapshot with fields of one GPU changed."""
    gpus = tuple(msgspec.structs.replace(gpu, **changes) if gpu.key == key else gpu for gpu in snapshot.gpus)
    return msgspec.structs.replace(snapshot, gpus=gpus)


def main() -> int:
    """Open the screen on a room."""
    from tests.fakes.screen_yard import opener
    from tui.app import ModelyardApp

    parser = argparse.ArgumentParser(prog="python -m tests.fakes.gpu_room")
    parser.add_argument("count", type=int, nargs="?", default=64)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two samples")
    parser.add_argument("--local", action="store_true", help="GPUs of this machine, in no cluster")
    chosen = parser.parse_args()
    yard = Room(chosen.count, moving=chosen.every, local=chosen.local)
    app = ModelyardApp(opener(yard), environment=os.environ)
    app.run(mouse=False)
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
