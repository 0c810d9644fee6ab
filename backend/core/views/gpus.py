"""GPUs and model servers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backend.core.views.base import View


class GpuState(StrEnum):
    """What a GPU does: idle is allocated and doing nothing; free is allocated to nobody."""

    BUSY = "busy"
    IDLE = "idle"
    FREE = "free"
    FAULT = "fault"
    UNKNOWN = "unknown"


class GpuView(View, frozen=True, kw_only=True):
    """A GPU or MIG instance.

    Attributes:
        utilisation: percent of time with a kernel running; engine_active: percent of the engine in use.
        memory_used, memory_total: bytes. power: watts. temperature: degrees Celsius.
        source: where the numbers come from; age: seconds since they last were known true; None: never.
        tokens_per_second: of the service that holds it, shared over its GPUs; None: no model server told.
        error: the last XID or what the driver says; empty when nothing is wrong.
    """

    key: str
    node: str
    index: int
    uuid: str
    product: str
    mig_profile: str = ""
    state: GpuState
    utilisation: float | None
    engine_active: float | None
    memory_used: int | None
    memory_total: int | None
    power: float | None
    temperature: float | None
    namespace: str = ""
    pod: str = ""
    container: str = ""
    service: str = ""
    image_digest: str = ""
    approved: bool | None = None
    tokens_per_second: float | None = None
    idle_since: datetime | None = None
    error: str = ""
    source: str
    age: float | None


class ModelServerView(View, frozen=True, kw_only=True):
    """What the model server of one pod says; latencies are seconds over the last half minute, None: no traffic."""

    namespace: str
    pod: str
    service: str
    engine: str
    running: float | None
    waiting: float | None
    kv_cache: float | None
    ttft_p95: float | None
    inter_token_p95: float | None
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    age: float | None
    note: str = ""


class GpuSnapshotView(View, frozen=True, kw_only=True):
    """All GPUs at one time; `notes` say what could not be measured and what would be needed.

    Attributes:
        unreached: why nothing at all is known, when the cluster cannot be reached or refuses us; else empty.
    """

    at: datetime
    gpus: tuple[GpuView, ...]
    servers: tuple[ModelServerView, ...]
    notes: tuple[str, ...]
    unreached: str = ""
