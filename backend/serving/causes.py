"""What model servers, kubelets and schedulers say when they fail, as a reason and what to do. Pure.

The patterns are of messages as vLLM 0.8 and later, NIM, Triton, Hugging Face's libraries, CUDA, containerd and
kube-scheduler write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from backend.core.text import sanitise


class Cause(msgspec.Struct, frozen=True):
    """Why, in a clause, and what to do about it, in a sentence."""

    reason: str
    next_step: str


_Maker = Callable[[re.Match[str]], Cause]


def _said(reason: str, next_step: str) -> _Maker:
    return lambda match: Cause(reason.format(**match.groupdict(default="")), next_step)


_SHORTER = "lower --max-model-len, raise --gpu-memory-utilization, or give it more GPUs (--tensor-parallel-size)"
_SERVER: Final[tuple[tuple[re.Pattern[str], _Maker], ...]] = tuple(
    (re.compile(pattern, re.I | re.S), maker)
    for pattern, maker in (
        (
            r"max(?:imum)? seq(?:uence)? len(?:gth)? ?\(?(?P<length>\d+)\)?.{0,200}?KV cache",
            _said("KV cache too small for max-model-len {length}", _SHORTER),
        ),
        (r"no available memory for the cache blocks", _said("no GPU memory is left for the KV cache", _SHORTER)),
        (
            r"free memory on device.{0,80}?\((?P<free>[\d.]+)/(?P<all>[\d.]+) ?GiB\).{0,120}?gpu memory utilization",
            _said(
                "only {free} of {all} GiB of GPU memory are free at start",
                "find what else uses the GPU, or lower --gpu-memory-utilization",
            ),
        ),
        (
            r"(?:CUDA|HIP) out of memory|OutOfMemoryError|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY",
            _said(
                "out of GPU memory while loading",
                "give it more or larger GPUs, a quantised model, or a shorter --max-model-len",
            ),
        ),
        (
            r"(?:gated repo|GatedRepoError|access to model (?P<model>\S+) is restricted)",
            _said("the model's repository is gated", "accept its licence at Hugging Face, and give HF_TOKEN by secret"),
        ),
        (
            r"401 Client Error|invalid (?:user )?(?:access )?token|NGC_API_KEY"
            r"|authentication (?:error|failed|required)",
            _said(
                "the weights' server refused the credentials", "check the secret that holds the token or NGC_API_KEY"
            ),
        ),
        (
            r"(?:RepositoryNotFoundError|is not a local folder and is not a valid model identifier|404 Client Error)",
            _said("there are no weights at the model's address", "check the model's name, revision and storageUri"),
        ),
        (
            r"no compatible profiles?|could not find a (?:matching )?profile"
            r"|profile \S+ (?:is )?not (?:found|compatible)",
            _said("no NIM profile fits these GPUs", "choose a profile for them in model.profile, or other GPUs"),
        ),
        (
            r"attention heads \(?(?P<heads>\d+)\)?.{0,60}divisible by.{0,60}?(?P<size>\d+)",
            _said(
                "{heads} attention heads cannot be split over {size} GPUs",
                "choose a --tensor-parallel-size that divides them",
            ),
        ),
        (
            r"tensor.parallel.{0,40}?\(?(?P<wanted>\d+)\)?.{0,60}(?:larger|greater|exceeds).{0,60}?(?:GPUs?|devices?)",
            _said("--tensor-parallel-size {wanted} asks for more GPUs than the pod has", "set resources.gpu to it"),
        ),
        (
            r"unrecognized arguments?: (?P<argument>\S+)",
            _said("this version does not know the argument {argument}", "remove it, or choose an image that knows it"),
        ),
        (
            r"trust_remote_code|trust-remote-code",
            _said(
                "the model needs code of its own (--trust-remote-code)", "use another model, or have its code reviewed"
            ),
        ),
        (
            r"(?:driver version is insufficient|no kernel image is available|unsupported (?:display )?driver)",
            _said(
                "the node's driver is too old for the image's CUDA",
                "choose an older image or a node with a newer driver",
            ),
        ),
        (
            r"bfloat16 is only supported on GPUs with compute capability",
            _said("the GPU has no bfloat16", "set --dtype=half, or choose a newer GPU"),
        ),
        (
            r"(?:NCCL|ncclSystemError|unhandled system error)",
            _said("the GPUs cannot talk to each other (NCCL)", "check /dev/shm, the node's topology and NCCL's log"),
        ),
        (
            r"(?:bus error|/dev/shm.{0,40}(?:too small|insufficient)|insufficient shared memory)",
            _said("shared memory is too small", "raise shm in the deployment file"),
        ),
        (r"no space left on device", _said("the disk is full", "give the cache a larger volume, or clean the node")),
        (r"address already in use", _said("the port is taken", "check port and arguments against each other")),
        (r"exec format error", _said("the image is for another processor", "choose the image of the node's platform")),
        (
            r"(?:executable file not found|no such file or directory.{0,40}exec)",
            _said("the command is not in the image", "correct command in the deployment file"),
        ),
    )
)

_PULL: Final[tuple[tuple[re.Pattern[str], _Maker], ...]] = tuple(
    (re.compile(pattern, re.I | re.S), maker)
    for pattern, maker in (
        (
            r"not found|manifest unknown|name unknown|404",
            _said("the registry does not have the image", "check that its digest was not deleted from the registry"),
        ),
        (
            r"unauthorized|authentication required|denied|403|401",
            _said("the registry refuses the image", "check imagePullSecrets of the service and its secret"),
        ),
        (
            r"toomanyrequests|rate limit|429",
            _said("the registry limits the rate of pulls", "wait, or pull from a mirror"),
        ),
        (
            r"no such host|i/o timeout|connection refused|dial tcp|deadline exceeded",
            _said("the node cannot reach the registry", "check the node's network and proxy"),
        ),
        (
            r"x509|certificate",
            _said(
                "the node does not trust the registry's certificate", "install the registry's authority on the nodes"
            ),
        ),
        (
            r"no match for platform|no matching manifest",
            _said("the image is for another platform", "choose the image of the node's platform"),
        ),
        (r"no space left", _said("the node's disk is full", "clean the node's images, or use another node")),
    )
)

_UNSCHEDULABLE: Final = re.compile(
    r"(?P<fit>\d+)/(?P<all>\d+) nodes are available: (?P<reasons>.*?)(?:\.(?:\s|\Z)|\Z)", re.S
)
_SHORT: Final = re.compile(r"(?P<count>\d+) Insufficient (?P<what>[\w./-]+)")


def server_cause(message: str, exit_code: int | None = None, reason: str = "") -> Cause | None:
    """What a container's last words, exit code and reason tell; None when nothing is known of them."""
    if reason == "OOMKilled":
        return Cause("out of memory: killed at its memory limit", "raise resources.memory")
    for pattern, make in _SERVER:
        if match := pattern.search(message[:20_000]):
            return make(match)
    known = {
        126: Cause("the command cannot be run", "check command and the image's user"),
        127: Cause("the command is not in the image", "correct command in the deployment file"),
        132: Cause("an instruction that the node's processor lacks", "choose a newer node or another image"),
        137: Cause(
            "killed from outside (exit code 137)", "look for memory pressure on the node, or a failing liveness probe"
        ),
        139: Cause("the server crashed (segmentation fault)", "try another version of the image"),
        143: Cause("ended from outside (exit code 143)", "look for a failing liveness probe in the events"),
    }
    return known.get(exit_code) if exit_code is not None else None


def pull_cause(message: str) -> Cause:
    """Why an image cannot be pulled."""
    for pattern, make in _PULL:
        if match := pattern.search(message[:20_000]):
            return make(match)
    return Cause(sanitise(message, 200) or "the registry did not say why", "look at the pod's events")


def schedule_cause(message: str, gpus: int) -> Cause:
    """Why no node takes a pod, from the scheduler's sentence.

    Args:
        gpus: that the pod asks for.
    """
    match = _UNSCHEDULABLE.search(message)
    if match is None:
        if "persistentvolumeclaim" in message:
            return Cause(sanitise(message, 200), "make the claim, or correct its name")
        return Cause(sanitise(message, 200) or "the scheduler has not said why", "look at the pod's events")
    reasons, nodes = match.group("reasons"), match.group("all")
    short = {found.group("what"): found.group("count") for found in _SHORT.finditer(reasons)}
    gpu = next((name for name in short if "gpu" in name or "mig-" in name), "")
    if gpu:
        wanted = f"{gpus} free {gpu}" if gpus else f"a free {gpu}"
        return Cause(
            f"no node has {wanted} (of {nodes} nodes, {short[gpu]} lack it)",
            "stop or shrink another service, or add a node with GPUs",
        )
    if short:
        what = ", ".join(f"{name} ({count} nodes)" for name, count in short.items())
        return Cause(f"no node has enough {what}", "lower what it asks for, or add a node")
    if "taint" in reasons:
        return Cause("no node's taints are tolerated", "add tolerations or a nodeSelector for the right nodes")
    if "selector" in reasons or "affinity" in reasons:
        return Cause("no node matches the nodeSelector", "correct nodeSelector, or label a node")
    return Cause(sanitise(reasons, 200), "look at the nodes with kubectl describe")
