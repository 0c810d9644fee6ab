"""Cold starts: the steps of a pod's way to its first answer, and what the steps of earlier starts took. Pure.

Times come from the pod's conditions, the kubelet's events and, for the weights, from the initializer's container or
from the server's log. Model servers count first tokens and do not tell when the first was: that step is not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Final, TypeAlias

import msgspec

from backend.cluster.objects import Event, Pod, condition_of, parsed_time
from backend.core.views import StepView
from backend.serving.digests import digest_of, is_sidecar

INITIALIZER: Final = "storage-initializer"
#: A start that took longer was none: a clock was wrong, or somebody repaired it by hand.
_LONGEST: Final = timedelta(hours=12)
_UNTIMED: Final = "not measured: model servers do not tell when"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A cold start that came to its end.

    Attributes:
        pod: its UID. digest: of the image that serves. service: `context/namespace/name`.
        gpu_type: product of its node's GPUs, or empty.
        scheduled, pulled, weights: seconds since the pod was made; None: not known.
        total: seconds from the pod's creation to its readiness.
    """

    pod: str
    digest: str
    gpu_type: str
    service: str
    loaded_at: datetime
    scheduled: float | None
    pulled: float | None
    weights: float | None
    total: float


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What such starts took before, in seconds since the pod was made; medians of `number` starts."""

    scheduled: float | None
    pulled: float | None
    weights: float | None
    total: float
    number: int


#: Tells what starts of an image, by its digest, usually take on a type of GPU.
Estimator: TypeAlias = Callable[[str, str], Usual | None]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How far a server is with loading, by its log.

    Attributes:
        told: in a few words, such as `weights 61%`; empty: the log does not tell.
        weights_loaded: whether it said that they are.
    """

    told: str = ""
    weights_loaded: bool = False


# vLLM 0.8 and later, NIM around it, Hugging Face's loader: tqdm bars end in a carriage return, not in a line feed.
_SHARDS: Final = re.compile(r"Loading (?:\S+ )?checkpoint shards:\s+(\d{1,3})%")
_DOWNLOAD: Final = re.compile(r"(?:Fetching \d+ files|Downloading[^:\n\r]{0,80}|\S+\.safetensors):\s+(\d{1,3})%")
_GRAPHS: Final = re.compile(r"Capturing (?:CUDA|cudagraph)[^:\n\r]{0,60}:\s+(\d{1,3})%", re.I)
_LOADED: Final = re.compile(r"(?:Loading (?:model )?weights took|Model loading took|weights loaded in)", re.I)
_STEPS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"init engine \(|Starting vLLM API server|Application startup complete"), "starting its server"),
    (_GRAPHS, "capturing graphs {}%"),
    (re.compile(r"torch\.compile|Compiling a graph|Dynamo bytecode"), "compiling"),
    (re.compile(r"Available KV cache memory|GPU KV cache size|Graph capturing finished"), "warming up"),
    (_LOADED, "weights loaded, warming up"),
    (_SHARDS, "weights {}%"),
    (_DOWNLOAD, "downloading weights {}%"),
    (re.compile(r"Starting to load model"), "loading weights"),
)


def load_of(log: str) -> Load:
    """How far a server is by the end of its log."""
    told = ""
    for line in reversed(re.split(r"[\r\n]+", log)):
        for pattern, words in _STEPS:
            if match := pattern.search(line):
                told = words.format(*match.groups())
                break
        if told:
            break
    return Load(told=told, weights_loaded=_LOADED.search(log) is not None)


def serving_digest(pod: Pod) -> str:
    """The digest of the container that serves: as its image names it, else as the container runtime reports it."""
    own = [container for container in pod.spec.containers if not is_sidecar(container)]
    if not own:
        return ""
    reported = {status.name: status.image_id for status in pod.status.container_statuses or ()}
    return digest_of(own[0].image) or digest_of(reported.get(own[0].name, ""))


def start_of(
    pod: Pod, events: Sequence[Event], *, service: str, gpu_type: str, weights_at: datetime | None = None
) -> Start | None:
    """The start of a pod that is ready; None where it does not tell, or was restarted, which is no cold start.

    Args:
        weights_at: when its log said that the weights are loaded, as far as that was seen.
    """
    created, ready = parsed_time(pod.metadata.creation_timestamp), since(pod, "Ready")
    restarted = any(status.restart_count for status in pod.status.container_statuses or ())
    digest = serving_digest(pod)
    if created is None or ready is None or restarted or not digest or not timedelta(0) <= ready - created <= _LONGEST:
        return None

    def after(at: datetime | None) -> float | None:
        return (at - created).total_seconds() if at is not None and created <= at <= ready else None

    return Start(
        pod=pod.metadata.uid,
        digest=digest,
        gpu_type=gpu_type,
        service=service,
        loaded_at=ready,
        scheduled=after(since(pod, "PodScheduled")),
        pulled=after(pulled_at(pod, events)),
        weights=after(fetched_at(pod) or weights_at),
        total=(ready - created).total_seconds(),
    )


def usual_of(starts: Iterable[Start]) -> Usual | None:
    """The medians of starts; None of none."""
    held = list(starts)
    if not held:
        return None

    def middle(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(median(known)) if known else None

    return Usual(
        scheduled=middle(one.scheduled for one in held),
        pulled=middle(one.pulled for one in held),
        weights=middle(one.weights for one in held),
        total=float(median(one.total for one in held)),
        number=len(held),
    )


def timeline(
    pod: Pod | None, events: Sequence[Event], *, usual: Usual | None = None, weights_at: datetime | None = None
) -> tuple[StepView, ...]:
    """The steps of a pod's start, each with how long it took after the one before; none without a pod.

    Args:
        usual: what such starts took before.
    """
    if pod is None:
        return ()
    created, ready = parsed_time(pod.metadata.creation_timestamp), since(pod, "Ready")
    weights = fetched_at(pod) or weights_at
    unknown = "not measured: its log was not followed" if ready is not None and weights is None else ""
    before = usual or Usual(scheduled=None, pulled=None, weights=None, total=0.0, number=0)
    steps = (
        ("created", created, 0.0, ""),
        ("scheduled", since(pod, "PodScheduled"), before.scheduled, ""),
        ("pulled", pulled_at(pod, events), before.pulled, ""),
        ("weights", weights, before.weights, unknown),
        ("loaded", ready, before.total if usual is not None else None, ""),
        ("first token", None, None, _UNTIMED if ready is not None else ""),
    )
    views: list[StepView] = []
    previous: datetime | None = None
    reached: float | None = None
    for name, at, usually, note in steps:
        took = (at - previous).total_seconds() if at is not None and previous is not None else None
        expected = max(0.0, usually - reached) if usually is not None and reached is not None else None
        views.append(
            StepView(name=name, at=at, seconds=None if took is None else max(0.0, took), usual=expected, note=note)
        )
        previous = at or previous
        reached = usually if usually is not None else reached
    return tuple(views)


def since(pod: Pod, type_: str) -> datetime | None:
    """When a condition of the pod became true; None while it is not."""
    condition = condition_of(pod.status.conditions, type_)
    if condition is None or condition.status != "True":
        return None
    return parsed_time(condition.last_transition_time)


def pulled_at(pod: Pod, events: Sequence[Event]) -> datetime | None:
    """When its images were there: by the kubelet's event, or else by the start of its first container."""
    pulled = [event.at for event in events if event.reason == "Pulled" and event.at is not None]
    if pulled:
        return max(pulled)
    for statuses in (pod.status.init_container_statuses, pod.status.container_statuses):
        for status in statuses or ():
            state = status.state.running or status.state.terminated
            if state is not None and state.started_at:
                return parsed_time(state.started_at)
    return None


def fetched_at(pod: Pod) -> datetime | None:
    """When KServe's initializer had fetched the weights; None where there is none, or it is not done."""
    for status in pod.status.init_container_statuses or ():
        ended = status.state.terminated
        if status.name == INITIALIZER and ended is not None and ended.exit_code == 0:
            return parsed_time(ended.finished_at)
    return None
