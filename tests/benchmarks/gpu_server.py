"""An API server with many nodes of eight GPUs, in a process of its own: `python -m tests.benchmarks.gpu_server N`.

On each node an exporter, and a model server that holds four of the GPUs; their pages move from one scrape to the next.
Prints one line of JSON, `{"url": ...}`, and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any, Final

from aiohttp import web

from backend.demo.exporters import dcgm_page
from backend.demo.gpus import H100, GpuBank

GPUS: Final = 8
_HELD: Final = 4
_BOUNDS: Final = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
)
_HISTOGRAMS: Final = ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds")


def node_name(number: int) -> str:
    """Of the node with this number."""
    return f"gpu-{number:03}"


def page(node: str, at: float) -> bytes:
    """An exporter's page of a node at a time, in seconds; the first four of its GPUs belong to a pod."""
    bank = GpuBank(7, lambda name, index: f"GPU-{name}-{index}", 0.0)
    bank.add_node(node, H100, GPUS)
    text = dcgm_page(bank.samples(node, at))
    holder = f',container="kserve-container",namespace="llm",pod="llama-{node}"}}'
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("DCGM") and int(line.partition('gpu="')[2][0]) < _HELD:
            lines[number] = line.replace("}", holder, 1)
    return "\n".join(lines).encode()


def server_page(step: int) -> bytes:
    """A vLLM's page after so many scrapes."""
    lines = [
        'vllm:num_requests_running{model_name="m"} 3', 'vllm:num_requests_waiting{model_name="m"} 0',
        'vllm:kv_cache_usage_perc{model_name="m"} 0.5', f'vllm:prompt_tokens_total{{model_name="m"}} {9000 * step}',
        f'vllm:generation_tokens_total{{model_name="m"}} {3000 * step}',
        f'vllm:request_success_total{{model_name="m",finished_reason="stop"}} {30 * step}',
    ]  # fmt: skip
    for stem in _HISTOGRAMS:
        bounds = [*map(str, _BOUNDS), "+Inf"]
        lines += [f'vllm:{stem}_bucket{{model_name="m",le="{bound}"}} {step * 2 * n}' for n, bound in enumerate(bounds)]
        lines.append(f'vllm:{stem}_sum{{model_name="m"}} {step}')
    return ("\n".join(lines) + "\n").encode()


def _node(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": node_name(number), "labels": {"nvidia.com/gpu.product": H100.label}},
        "status": {
            "capacity": {"nvidia.com/gpu": str(GPUS)}, "allocatable": {"nvidia.com/gpu": str(GPUS)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }  # fmt: skip


def _resources(gpus: int) -> dict[str, Any]:
    return {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}


def _pod(number: int, name: str, namespace: str, labels: dict[str, str], gpus: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        "spec": {
            "nodeName": node_name(number),
            "containers": [{"name": "kserve-container", "image": "x", "resources": _resources(gpus)}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def _list(kind: str, items: list[dict[str, Any]]) -> bytes:
    return json.dumps({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}).encode()


class Server:
    """Answers of so many nodes."""

    def __init__(self, count: int) -> None:
        exporters = [
            _pod(n, f"dcgm-{node_name(n)}", "gpu-operator", {"app": "nvidia-dcgm-exporter"}, 0) for n in range(count)
        ]
        servers = [
            _pod(n, f"llama-{node_name(n)}", "llm", {"serving.kserve.io/inferenceservice": f"llama-{n % 64}"}, _HELD)
            for n in range(count)
        ]
        self._nodes = _list("NodeList", [_node(n) for n in range(count)])
        self._pods = _list("PodList", exporters + servers)
        self._exporters = _list("PodList", exporters)
        # Made beforehand: what the server costs is nobody's business here, but the machine has few cores.
        self._pages = {node_name(n): [page(node_name(n), at) for at in (1000.0, 1010.0)] for n in range(count)}
        self._steps = itertools.count()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any GET."""
        parts = request.path.split("/")
        if request.path == "/api/v1/nodes":
            return web.Response(body=self._nodes, content_type="application/json")
        if request.path == "/api/v1/pods":
            selector = request.query.get("labelSelector", "")
            own = {"": self._pods, "app=nvidia-dcgm-exporter": self._exporters}
            return web.Response(body=own.get(selector) or _list("PodList", []), content_type="application/json")
        if len(parts) == 9 and parts[7] == "proxy":
            pod, step = parts[6].partition(":")[0], next(self._steps)
            kind, _, node = pod.partition("-")
            body = self._pages[node][step // len(self._pages) % 2] if kind == "dcgm" else server_page(step)
            return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
        return web.Response(status=404, text="404 page not found")


async def serve(count: int) -> None:
    """Serve until standard input closes."""
    app = web.Application()
    app.router.add_get("/{path:.*}", Server(count).answer)
    runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
