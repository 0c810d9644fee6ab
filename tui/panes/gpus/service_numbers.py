"""What model servers tell, of one pod and of a whole service."""

from __future__ import annotations

from backend.core.views import LatencyView, ModelServerView, ObjectiveView, ServiceMetricsView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.panes.gpus.cells import NOTHING


def server_section(server: ModelServerView) -> Section:
    """What the model server of one pod says, and what holds it up."""
    stuck = join(text(server.bottleneck, "bad"), text(server.evidence, "muted"), gap="  ")
    rows = [
        ("bottleneck", stuck if server.bottleneck else text(server.evidence or "none stands out", "muted")),
        ("requests", _requests(server.running, server.waiting, server.requests_per_second)),
        ("KV cache", _cache(server.kv_cache, server.prefix_hits)),
        ("TTFT p95", _seconds(server.ttft_p95)),
        ("between tokens", join(_seconds(server.inter_token_p95), text("p95", "muted"))),
        ("tokens", _tokens(server.prompt_tokens_per_second, server.generation_tokens_per_second)),
        ("note", text(server.note, "warn")),
    ]
    engine = server.engine or "engine not known"
    return Section(f"Model server {server.pod}", facts(rows), note=f"{engine}, {_age(server.age)}")


def service_section(metrics: ServiceMetricsView) -> Section:
    """What all replicas of a service do together, against what it promises."""
    told = f"{fmt.count(metrics.replicas, 'replica')}, {_age(metrics.age)}"
    return Section(f"Service {metrics.namespace}/{metrics.service}", facts(service_rows(metrics)), note=told)


def service_rows(metrics: ServiceMetricsView) -> list[tuple[str, Line]]:
    """The same without a heading, for the page of the service itself."""
    return [
        # Where promises are listed, the one that is missed says so itself.
        ("slow", EMPTY if metrics.objectives else text(metrics.slow, "bad")),
        *(("promised", _objective(objective)) for objective in metrics.objectives),
        ("requests", _requests(metrics.running, metrics.waiting, metrics.requests_per_second)),
        ("errors", _errors(metrics)),
        ("KV cache", join(_cache(metrics.kv_cache, metrics.prefix_hits), text("of the fullest replica", "faint"))),
        ("latency", text("p50       p95       p99", "label")),
        ("TTFT", _quantiles(metrics.ttft)),
        ("between tokens", _quantiles(metrics.inter_token)),
        ("end to end", _quantiles(metrics.end_to_end)),
        ("tokens", _tokens(metrics.prompt_tokens_per_second, metrics.generation_tokens_per_second)),
        ("tokens a joule", text(fmt.number(metrics.tokens_per_joule, 3)) if metrics.tokens_per_joule else EMPTY),
        ("note", text(metrics.note, "warn")),
    ]


def _requests(running: float | None, waiting: float | None, rate: float | None) -> Line:
    told = f"{_whole(running)} running, {_whole(waiting)} waiting"
    return join(text(told), text(f"{rate:.1f} finished a second" if rate is not None else "", "muted"), gap="  ")


def _cache(used: float | None, hits: float | None) -> Line:
    full = text(NOTHING, "warn") if used is None else text(f"{used:.0%} in use", "bad" if used >= 0.95 else "")
    return join(full, text(f"{hits:.0%} prefix hits" if hits is not None else "", "muted"), gap="  ")


def _errors(metrics: ServiceMetricsView) -> Line:
    if metrics.error_rate is None:
        return text("no traffic" if metrics.requests_per_second == 0 else NOTHING, "muted")
    return text(f"{metrics.error_rate:.1%} of requests", "bad" if metrics.error_rate > 0.01 else "")


def _tokens(prompt: float | None, generated: float | None) -> Line:
    return text(f"{_whole(prompt)} read, {_whole(generated)} generated a second")


def _quantiles(latency: LatencyView | None) -> Line:
    if latency is None:
        return text("no traffic, or not told", "muted")
    spans: list[Span] = []
    for name in ("p50", "p95", "p99"):
        told = f"{'>=' if name in latency.at_least else ''}{_short(getattr(latency, name))}"
        spans.append(Span(told.ljust(10), "warn" if name in latency.at_least else ""))
    return tuple(spans)


def _objective(objective: ObjectiveView) -> Line:
    role = {True: "ok", False: "bad", None: "muted"}[objective.met]
    burn = f"burns {objective.burn:.1f} times as fast as it may" if objective.burn is not None else ""
    word = {True: "met", False: "MISSED", None: "cannot be told"}[objective.met]
    return join(text(word, role), text(objective.sentence), text(burn, "muted"), gap="  ")


def _seconds(value: float | None) -> Line:
    return text("no traffic, or not told", "muted") if value is None else text(_short(value))


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s" if seconds < 10 else fmt.duration(seconds)


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _age(age: float | None) -> str:
    return "never told" if age is None else f"{fmt.duration(age)} ago"
