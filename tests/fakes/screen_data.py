"""Believable views for the screen's tests: a production yard on a day when a few things go wrong."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec

from backend.core.views import (
    BlastView,
    CanaryView,
    CandidateView,
    ChangeView,
    ConditionView,
    ContainerView,
    DecisionView,
    EndpointView,
    EvidenceValue,
    EvidenceView,
    FindingView,
    GateView,
    GpuSnapshotView,
    GpuState,
    GpuView,
    ImageState,
    ImageView,
    KubeEventView,
    LedgerEntryView,
    ModelServerView,
    PodView,
    ProofCheckView,
    RevisionView,
    RuleClauseView,
    RuleView,
    RunningState,
    RunningView,
    RuntimeView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
    SourceState,
    SourceView,
    StepView,
    TemplateView,
    ValidationView,
    Verdict,
    YardStatusView,
)

NOW = datetime(2026, 8, 14, 14, 2, 11, tzinfo=UTC)
HOSTILE = "evil\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u200b [red]bold[/red]"
GIB = 1024**3


def ago(**parts: float) -> datetime:
    """An instant before NOW."""
    return NOW - timedelta(**parts)


def digest_of(name: str) -> str:
    """A digest made of a name."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def status(**changes: object) -> YardStatusView:
    """The title bar's facts."""
    base: dict[str, object] = {
        "name": "production",
        "context": "prod-eu1",
        "actor": "opr-7",
        "actor_source": "cluster",
        "roles": ("approver", "operator"),
        "unrestricted": False,
        "writes": "",
        "enforcement": "not enforced",
        "worker": "bast-1",
        "policy_source": "/etc/modelyard/policy.toml",
        "sources": (
            SourceView(name="prod-eu1", kind="cluster", state=SourceState.LIVE, as_of=ago(seconds=2)),
            SourceView(name="prom", kind="metrics", state=SourceState.LIVE, as_of=ago(seconds=15)),
            SourceView(name="ngc", kind="registry", state=SourceState.LIVE, as_of=ago(minutes=4)),
            SourceView(
                name="quay",
                kind="registry",
                state=SourceState.REFUSED,
                as_of=ago(minutes=9),
                detail="429 too many requests, next try 14:09",
            ),
        ),
        "library_total": 412,
        "library_approved": 38,
        "queue_waiting": 7,
    }
    return YardStatusView(**{**base, **changes})  # type: ignore[arg-type]


def service(namespace: str, name: str, verdict: Verdict, reason: str = "", **changes: object) -> ServiceView:
    """A service; what is not said is that of a small chat model that serves."""
    base: dict[str, object] = {
        "context": "prod-eu1",
        "namespace": namespace,
        "name": name,
        "verdict": verdict,
        "reason": reason,
        "next_step": "",
        "since": ago(days=3),
        "ready_replicas": 1,
        "wanted_replicas": 1,
        "gpus": 1,
        "gpu_type": "NVIDIA-H100-80GB-HBM3",
        "images": (f"nvcr.io/nim/meta/{name}@{digest_of(name)}",),
        "model": "vLLM llama-3.1-8b",
        "runtime": "nim-1.8",
        "mode": "Standard",
        "approved": True,
        "url": f"https://{name}-{namespace}.models.example",
        "created_at": ago(days=40),
        "generation": 3,
        "resource_version": "48211",
    }
    return ServiceView(**{**base, **changes})  # type: ignore[arg-type]


def services() -> list[ServiceView]:
    """Forty-one services, five of them with something to tell."""
    special = [
        service(
            "llm-prod",
            "llama-70b",
            Verdict.FAILED,
            "crash loop: KV cache needs 52 GiB, 11 free; the old pod serves",
            next_step="B back to r41 (approved; 6 min at 1 of 2 replicas)",
            since=ago(minutes=12),
            gpus=16,
            ready_replicas=1,
            wanted_replicas=2,
        ),
        service(
            "llm-prod",
            "qwen-vl",
            Verdict.STUCK,
            "needs 2 GPUs on one node: 6 free, at most 1 on a node",
            next_step="free a GPU on gpu-02 (deepseek-dev is idle for 26h), or ask for 1",
            since=ago(minutes=21),
            ready_replicas=0,
            gpus=2,
        ),
        service(
            "llm-prod",
            "mistral-large",
            Verdict.DEGRADED,
            "1 of 3 replicas not ready: liveness probe timed out",
            next_step="p shows the log before the restart",
            since=ago(minutes=8),
            ready_replicas=2,
            wanted_replicas=3,
            gpus=6,
        ),
        service(
            "llm-dev",
            "test-x",
            Verdict.SERVING,
            since=ago(days=3),
            approved=False,
            gpu_type="NVIDIA-A100-80GB",
            approval_note="digest 9f3c21ab77e0 was never approved; applied by opr-9",
        ),
        service(
            "llm-prod",
            "bge-embed",
            Verdict.STARTING,
            "loading weights: 61%, 3 of about 5 min",
            since=ago(minutes=3),
            ready_replicas=0,
        ),
        service("llm-dev", HOSTILE, Verdict.UNKNOWN, f"reason with {HOSTILE}", gpus=0),
        service(
            "llm-dev",
            "sd-turbo",
            Verdict.SCALED_TO_ZERO,
            "no request for 2h",
            ready_replicas=0,
            wanted_replicas=0,
            gpus=0,
        ),
        service("llm-dev", "phi-old", Verdict.STOPPED, "stopped by opr-9", ready_replicas=0, wanted_replicas=0, gpus=0),
    ]
    well = [
        service(
            "llm-prod" if index % 3 else "llm-search",
            f"chat-{index:02d}",
            Verdict.SERVING,
            since=ago(days=index + 1),
            owner="Argo CD" if index % 9 == 0 else "",
        )
        for index in range(33)
    ]
    return special + well


def gate(kind: str, value: EvidenceValue, sentence: str, effect: str = "block") -> GateView:
    """A gate's verdict."""
    return GateView(kind=kind, effect=effect, value=value, sentence=sentence)


def decision(digest: str, verdict: str, actor: str, reason: str, hours: float) -> DecisionView:
    """A decision some hours ago."""
    return DecisionView(
        id=f"{actor}{hours}",
        digest=digest,
        reference="",
        verdict=verdict,
        actor=actor,
        at=ago(hours=hours),
        reason=reason,
        ticket="CHG0012345",
        evidence_hash="sha256:" + "e" * 64,
        policy_hash="sha256:" + "f" * 64,
    )


def candidate(
    repository: str, tag: str, *, criticals: int = 0, signed: bool = True, **changes: object
) -> CandidateView:
    """A candidate with the gates of the policy."""
    digest = digest_of(repository + tag)
    gates = (
        gate("vulnerabilities", EvidenceValue.FAIL, f"{criticals} critical, at most 0 allowed; scanned 2 days ago")
        if criticals
        else gate("vulnerabilities", EvidenceValue.PASS, "0 critical, 2 high; scanned 2 hours ago"),
        gate("signature", EvidenceValue.PASS, "signed by keys/platform.pub")
        if signed
        else gate("signature", EvidenceValue.NOT_MEASURED, "no signature was found at the registry"),
        gate("licence", EvidenceValue.PASS, "Apache-2.0", "warn"),
    )
    base: dict[str, object] = {
        "reference": f"nvcr.io/{repository}@{digest}",
        "registry": "ngc",
        "repository": repository,
        "digest": digest,
        "name": f"ngc/{repository}:{tag}",
        "tags": (tag, "latest"),
        "kind": "index",
        "type": "chat",
        "framework": "nim",
        "size": int(8.2 * GIB),
        "state": ImageState.CANDIDATE,
        "submitted_by": "modelyard-worker",
        "submitted_at": ago(hours=6),
        "gates": gates,
        "evidence_hash": "sha256:" + "e" * 64,
        "policy_hash": "sha256:" + "f" * 64,
        "approvals_needed": 2,
        "approvals": (),
        "waits_for_me": True,
        "risk": 80 if criticals else 30 if not signed else 5,
        "changes": (
            "+ CVE-2026-1234 critical in libcurl 8.5.0",
            "- CVE-2025-9999 high in openssl 3.0.2",
            "licence unchanged: Apache-2.0",
            "size 8.1 GiB → 8.2 GiB",
        ),
        "previous_reference": f"nvcr.io/{repository}@{digest_of(repository)}",
    }
    return CandidateView(**{**base, **changes})  # type: ignore[arg-type]


def candidates() -> list[CandidateView]:
    """Seven that wait, and one that was approved."""
    llama = candidate("nim/meta/llama-3.3-70b", "1.8.2", criticals=2, submitted_at=ago(days=2))
    return [
        msgspec_replace(llama, approvals=(decision(llama.digest, "approve", "mira", "needed for the pilot", 20),)),
        candidate("nim/baai/bge-m3", "2.1", signed=False, type="embedding"),
        candidate("nim/mistralai/mistral-small", "1.2.0", submitted_at=ago(hours=2)),
        candidate("vllm/vllm-openai", "v0.27.1", submitted_at=ago(hours=1), framework="vllm"),
        candidate(
            "nim/nvidia/nv-rerank",
            "1.0.4",
            waits_for_me=False,
            type="reranking",
            not_me="your own rule nim-all brought it in, so somebody else decides",
        ),
        candidate(
            "nim/snowflake/arctic-embed",
            "1.0.1",
            waits_for_me=False,
            type="embedding",
            not_me="you approved it already; one more person is needed",
        ),
        candidate("evil/repo", HOSTILE, waits_for_me=False, not_me=f"refused: {HOSTILE}", previous_reference=""),
        candidate("nim/meta/llama-3.1-8b", "1.3.0", state=ImageState.APPROVED, waits_for_me=False),
    ]


def msgspec_replace(view: CandidateView, **changes: object) -> CandidateView:
    """The view with other values."""
    import msgspec

    return msgspec.structs.replace(view, **changes)


def evidence(reference: str) -> list[EvidenceView]:
    """What is known of a candidate."""
    digest = reference.partition("@")[2]
    findings = tuple(
        FindingView(
            id=f"CVE-2026-{1230 + index}",
            severity=severity,
            package="libcurl",
            version="8.5.0",
            fixed="8.6.1" if index % 2 else "",
            title="heap overflow",
        )
        for index, severity in enumerate(["CRITICAL", "CRITICAL", "HIGH", "MEDIUM", "LOW"])
    )
    return [
        EvidenceView(
            id="1",
            digest=digest,
            kind="vulnerabilities",
            state="scanned",
            summary="2 critical, 1 high",
            source="trivy 0.58",
            measured_at=ago(hours=2),
            collected_at=ago(hours=1),
            database_at=ago(days=1),
            findings=findings,
        ),
        EvidenceView(
            id="2",
            digest=digest,
            kind="signature",
            state="verified",
            summary="keys/platform.pub",
            source="referrer of the registry",
            measured_at=ago(days=3),
            collected_at=ago(hours=1),
        ),
        EvidenceView(
            id="3",
            digest=digest,
            kind="licence",
            state="read",
            summary="Apache-2.0",
            source="SBOM",
            asserted_by="mira",
            collected_at=ago(hours=1),
        ),
    ]


def images(count: int = 60) -> list[ImageView]:
    """Tags of the library, some new, one moved, one gone, one hostile."""
    result = []
    for index in range(count):
        repository = f"nim/meta/llama-{index % 17}b" if index % 2 else f"vllm/engine-{index % 11}"
        first = ago(days=index % 90 + 2)
        result.append(
            ImageView(
                registry="ngc",
                host="nvcr.io",
                repository=repository,
                tag=f"1.{index}.0",
                digest=digest_of(f"{repository}{index}"),
                kind="index" if index % 3 else "image",
                type=("chat", "embedding", "reranking")[index % 3],
                framework="nim" if index % 2 else "vllm",
                size=int((1 + index % 9) * GIB),
                platforms=("linux/amd64",),
                created_at=ago(days=index + 9),
                state=ImageState.APPROVED if index % 11 == 0 else ImageState.CANDIDATE,
                first_seen_at=first,
                changed_at=first,
                rule="nim-llama",
            )
        )
    template = result[0] if result else None
    if template is not None:
        import msgspec

        put = msgspec.structs.replace
        result += [
            put(
                template,
                repository="nim/meta/llama-3.1-8b",
                tag="1.3",
                previous_digest=digest_of("old"),
                changed_at=ago(minutes=31),
                state=ImageState.APPROVED,
            ),
            put(
                template,
                repository="vllm/vllm-openai",
                tag="v0.27.1",
                first_seen_at=ago(minutes=32),
                changed_at=ago(minutes=32),
                state=ImageState.CANDIDATE,
            ),
            put(template, repository="nim/old/falcon", tag="0.9", gone_at=ago(hours=5), changed_at=ago(hours=5)),
            put(
                template,
                repository="evil/repo",
                tag=HOSTILE,
                first_seen_at=ago(hours=7),
                changed_at=ago(hours=7),
                type=HOSTILE,
                state=ImageState.REJECTED,
            ),
        ]
    return result


def rules() -> list[RuleView]:
    """Two rules, one of them off."""
    return [
        RuleView(
            name="nim-llama",
            registry="ngc",
            repositories=("nim/meta/*",),
            tags="versions >=1.3,<3",
            types=("chat",),
            every="15m",
            enabled=True,
            last_run_at=ago(minutes=4),
            last_result="3 new, 1 moved",
        ),
        RuleView(
            name="old", registry="quay", repositories=(HOSTILE,), tags="glob *", types=(), every="1d", enabled=False
        ),
    ]


def clauses() -> list[RuleClauseView]:
    """What became of three tags."""
    return [
        RuleClauseView(registry="ngc", repository="nim/meta/llama-3.1-8b", tag="1.3.0", taken=True, clause="versions"),
        RuleClauseView(
            registry="ngc",
            repository="nim/meta/llama-3.1-8b",
            tag="nightly",
            taken=False,
            clause="tags.versions: no version in it",
        ),
        RuleClauseView(registry="ngc", repository="nim/meta/x", tag=HOSTILE, taken=False, clause="exclude"),
    ]


def gpus() -> GpuSnapshotView:
    """Eight nodes of eight GPUs: 48 busy, 9 idle, 6 free, 1 at fault."""
    cards = []
    for node in range(8):
        for index in range(8):
            state, holder, namespace = GpuState.BUSY, f"chat-{node:02d}", "llm-prod"
            if node == 1:
                state, holder, namespace = GpuState.IDLE, "deepseek-dev", "llm-dev"
            elif node == 2 and index == 0:
                state, holder = GpuState.FAULT, "qwen-vl"
            elif node in {2, 3} and index in {5, 6, 7}:
                state, holder, namespace = GpuState.FREE, "", ""
            elif node == 4 and index == 7:
                state, holder = GpuState.IDLE, "bge-embed"
            elif node == 0:
                holder = "llama-70b"
            busy = state is GpuState.BUSY
            load = float(60 + (node * 7 + index * 5) % 40) if busy else 0.0
            cards.append(
                GpuView(
                    key=f"gpu-{node + 1:02d}/{index}",
                    node=f"gpu-{node + 1:02d}",
                    index=index,
                    uuid=f"GPU-{node}{index}-4f4f",
                    product="NVIDIA H100 80GB HBM3",
                    state=state,
                    utilisation=load,
                    engine_active=load if busy else 0.0,
                    memory_used=(70 if holder else 0) * GIB,
                    memory_total=80 * GIB,
                    power=612.0 if busy else 84.0,
                    temperature=64.0 if busy else 31.0,
                    namespace=namespace,
                    pod=f"{holder}-0" if holder else "",
                    service=holder,
                    tokens_per_second=212.0 if busy else None,
                    source="dcgm",
                    age=1.0,
                    idle_since=ago(hours=26) if state is GpuState.IDLE else None,
                    error="XID 79: the GPU has fallen off the bus" if state is GpuState.FAULT else "",
                )
            )
    server = ModelServerView(
        namespace="llm-prod",
        pod="llama-70b-0",
        service="llama-70b",
        engine="vllm",
        running=12.0,
        waiting=41.0,
        kv_cache=0.97,
        ttft_p95=2.9,
        inter_token_p95=0.041,
        prompt_tokens_per_second=8100.0,
        generation_tokens_per_second=930.0,
        age=2.0,
    )
    return GpuSnapshotView(at=NOW, gpus=tuple(cards), servers=(server,), notes=())


def changes() -> list[ChangeView]:
    """What changed in the last hour."""
    return [
        ChangeView(
            at=ago(minutes=13),
            actor="opr-9",
            what="applied",
            object="llm-prod/llama-70b",
            detail="--max-model-len 8192 → 131072  CHG0012345",
        ),
        ChangeView(at=ago(minutes=21), actor="gpu-03", what="XID 79", object="pod qwen-vl-0", detail="lost"),
        ChangeView(at=ago(minutes=31), actor="ngc", what="tag moved", object="nim/meta/llama-3.1-8b:1.3", detail=""),
        ChangeView(
            at=ago(minutes=44), actor="mira", what="approved", object="nim/meta/llama-3.3-70b:1.8.2", detail="1 of 2"
        ),
        ChangeView(at=ago(minutes=58), actor=HOSTILE, what="edited", object="llm-dev/test-x", detail="by kubectl"),
    ]


def detail(view: ServiceView) -> ServiceDetailView:
    """A service with pods, conditions, events and a start."""
    bad = view.verdict in {Verdict.FAILED, Verdict.STUCK}
    pods = [
        PodView(
            name=f"{view.name}-predictor-7d9f-{index}",
            namespace=view.namespace,
            node="gpu-01",
            phase="Running",
            state="Running",
            ready=True,
            restarts=0,
            gpus=view.gpus // max(1, view.wanted_replicas),
            image_ids=view.images,
            started_at=ago(days=2),
        )
        for index in range(view.ready_replicas)
    ]
    if bad:
        pods.append(
            PodView(
                name=f"{view.name}-predictor-58cc-x",
                namespace=view.namespace,
                node="gpu-01",
                phase="Running",
                state="CrashLoopBackOff",
                ready=False,
                restarts=6,
                gpus=8,
                image_ids=view.images,
                message="exit 1: max-model-len needs 52 GiB KV cache, 11 free",
                started_at=ago(minutes=12),
            )
        )
    return ServiceDetailView(
        service=view,
        conditions=(
            ConditionView(
                type="Ready",
                status="False" if bad else "True",
                reason="PredictorNotReady" if bad else "",
                message="Deployment does not have minimum availability" if bad else "",
                since=ago(minutes=12),
            ),
            ConditionView(type="PredictorReady", status="False" if bad else "True", since=ago(minutes=12)),
            ConditionView(type="IngressReady", status="True", since=ago(days=40)),
        ),
        pods=tuple(msgspec.structs.replace(pod, containers=containers(pod), owner="ReplicaSet x") for pod in pods),
        events=(
            KubeEventView(
                at=ago(minutes=1),
                type="Warning",
                reason="BackOff",
                object=f"pod/{view.name}-x",
                message="Back-off restarting failed container kserve-container",
                count=31,
            ),
            KubeEventView(
                at=ago(minutes=12),
                type="Normal",
                reason="Pulled",
                object=f"pod/{view.name}-x",
                message=f"Container image pulled {HOSTILE}",
            ),
        ),
        timeline=(
            StepView(name="scheduled", at=ago(minutes=12), seconds=1.2),
            StepView(name="pulled", at=ago(minutes=11), seconds=48.0),
            StepView(name="loading", at=None if bad else ago(minutes=8), seconds=None if bad else 184.0),
            StepView(name="ready", at=None if bad else ago(minutes=5), seconds=None if bad else 3.0),
        ),
        endpoints=(
            EndpointView(scope="inside", protocol="HTTP", url=f"http://{view.name}-predictor.{view.namespace}.svc"),
            EndpointView(scope="outside", protocol="HTTPS", url=view.url, note="no key is asked for"),
        ),
        manifest=f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: {view.name}\n"
        f"  namespace: {view.namespace}\n  annotations:\n    note: '{HOSTILE}'\nspec:\n  predictor:\n"
        f"    minReplicas: {view.wanted_replicas}\n",
    )


def containers(pod: PodView) -> tuple[ContainerView, ...]:
    """A server and a proxy beside it."""
    return (
        ContainerView(
            name="kserve-container", image=pod.image_ids[0] if pod.image_ids else "", state=pod.state, ready=pod.ready,
            restarts=pod.restarts, gpus=pod.gpus, last="Error, exit code 1" if pod.restarts else "",
        ),
        ContainerView(name="queue-proxy", image="r/proxy", state="running", ready=True, restarts=0),
    )  # fmt: skip


def snapshots(view: ServiceView) -> list[SnapshotView]:
    """Three snapshots; the one before the last is no longer approved."""
    return [
        SnapshotView(
            id=f"r{40 + index}",
            context=view.context,
            namespace=view.namespace,
            name=view.name,
            image=view.images[0],
            actor="opr-9",
            at=ago(days=3 - index),
            note=f"r{40 + index}",
            still_approved=index != 1,
        )
        for index in range(3)
    ]


def ledger(count: int = 40) -> list[LedgerEntryView]:
    """Entries, the newest first."""
    kinds = [
        ("opr-9", "deploy.apply", "llm-prod/llama-70b", "done"),
        ("mira", "queue.approve", "bge-m3", "done"),
        ("opr-7", "deploy.stop", "llm-dev/phi-old", "refused"),
        ("modelyard-worker", "library.synchronise", "ngc", "done"),
    ]
    return [
        LedgerEntryView(
            seq=seq,
            at=ago(minutes=(count - seq) * 7),
            actor=kinds[seq % 4][0],
            actor_source="cluster",
            action=kinds[seq % 4][1],
            object=kinds[seq % 4][2],
            outcome=kinds[seq % 4][3],
            detail={"reason": HOSTILE if seq % 9 == 0 else "as planned", "ticket": "CHG0012345"},
            previous=digest_of(str(seq - 1))[7:],
            hash=digest_of(str(seq))[7:],
        )
        for seq in range(count, 0, -1)
    ]


def runtimes() -> list[RuntimeView]:
    """Runtimes of a namespace and of the cluster."""
    digest = "sha256:" + "5" * 64
    return [
        RuntimeView(
            context="prod-eu1", namespace="", name="nim-1.8", images=(f"nvcr.io/nim/meta/llama@{digest}",),
            formats=("nvidia-nim",), protocols=("v2",), disabled=False,
            used_by=("llm-prod/a", "llm-prod/b", "llm-dev/c"), approved=True,
        ),
        RuntimeView(
            context="prod-eu1", namespace="llm-prod", name="vllm-chat-0-27-1-5f3a2b",
            images=(f"docker.io/vllm/vllm-openai@{digest}",), formats=("vLLM 1",), protocols=("v1", "v2"),
            disabled=False, used_by=(), approved=False, approval_note="digest 555555555555 is revoked",
            template="vllm-chat 1",
        ),
    ]  # fmt: skip


def templates() -> list[TemplateView]:
    """Templates of runtimes."""
    return [
        TemplateView(
            name=name, version="1", title=title, engine=engine, types=("chat",), formats=("vLLM 1",), protocols=("v1",),
            images=(pattern,), ports=(8000,), secrets=(), pull_secrets=(), source="built in",
        )
        for name, title, engine, pattern in (
            ("vllm-chat", "vLLM, chat and completion", "vllm", "**/vllm*"),
            ("nim", "NVIDIA NIM", "nim", "nim/**"),
        )
    ]  # fmt: skip


def validation(view: ServiceView, outcome: str = "passed") -> ValidationView:
    """A rollout that was proved good, or bad with a way back that is proposed."""
    good = outcome == "passed"
    value = EvidenceValue.PASS if good else EvidenceValue.FAIL
    told = "chat: it answered with 9 tokens in 0.41 s" if good else f"chat: HTTP 500: {HOSTILE}"
    return ValidationView(
        id="v1",
        context=view.context,
        namespace=view.namespace,
        name=view.name,
        snapshot="r42",
        image=view.images[0],
        actor="opr-9",
        outcome=outcome,
        traffic="after traffic",
        started_at=ago(minutes=12),
        ended_at=ago(minutes=11),
        checks=(ProofCheckView(name="answer", value=value, sentence=told),),
        reason=told,
        proposal="" if good else "r41",
    )


def canary(view: ServiceView, *, going_on: bool) -> CanaryView:
    """The traffic of a service: a canary that waits for its first step, or a mode that splits none."""
    if not going_on:
        told = "Standard mode of KServe v0.20 splits no traffic"
        return CanaryView(
            context=view.context,
            namespace=view.namespace,
            name=view.name,
            mode="Standard",
            splits=False,
            statement=told,
        )
    revisions = (
        RevisionView(name=f"{view.name}-2", role="newest", percent=0, ready=True),
        RevisionView(name=f"{view.name}-1", role="rolled out", percent=100, ready=True),
    )
    return CanaryView(
        context=view.context,
        namespace=view.namespace,
        name=view.name,
        mode="Knative",
        splits=True,
        statement=f"{view.name}-2 gets no traffic; all goes to {view.name}-1",
        going_on=True,
        percent=0,
        steps=(10, 50),
        revisions=revisions,
    )


def blast(view: ServiceView, verb: str) -> BlastView:
    """What a change would end."""
    return BlastView(
        context=view.context,
        namespace=view.namespace,
        name=view.name,
        verb=verb,
        replicas=view.ready_replicas,
        after=0,
        gpus=view.gpus,
        freed=view.gpus,
        sentences=("it gets 12.5 requests a second that nothing answers then", f"{view.gpus} GPUs become free"),
    )


def running() -> list[RunningView]:
    """What runs, in every state."""
    told = {
        RunningState.REVOKED: "digest 0b1c was revoked",
        RunningState.UNAPPROVED: f"never submitted {HOSTILE}",
        RunningState.DRIFTED: "minReplicas 1 > 3 since it was applied, by kubectl-edit",
        RunningState.EDITED: "kubectl-edit wrote .spec.predictor.scaleTarget; what was applied still holds",
        RunningState.UNKNOWN: "it is named by a tag alone, and the container runtime reports no digest",
        RunningState.APPROVED: "",
    }
    return [
        RunningView(
            context="prod-eu1",
            namespace="llm-prod",
            name="llama-70b",
            state=state,
            image="nvcr.io/nim/meta/llama:1.8" if state not in {RunningState.DRIFTED, RunningState.EDITED} else "",
            digest=digest_of(state.value) if state not in {RunningState.DRIFTED, RunningState.EDITED} else "",
            pods=("llama-70b-0",),
            by="kubectl-edit" if state in {RunningState.DRIFTED, RunningState.EDITED} else "",
            detail=detail_,
            since=ago(hours=3),
        )
        for state, detail_ in told.items()
    ]
