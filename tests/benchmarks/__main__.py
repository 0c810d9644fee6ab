"""`python -m tests.benchmarks [--only NAME] [-o json]`: a line a benchmark, exit 1 when one falls short."""

from __future__ import annotations

import argparse
import json
import sys

from tests.benchmarks import audit, curation, evidence, gpus, history, library, screen, services, sync, telemetry
from tests.benchmarks.harness import Benchmark, SkippedError

BENCHMARKS: dict[str, Benchmark] = {
    "first-paint": screen.first_paint,
    "services-5k": services.services_5k,
    "services-real": services.services_real,
    "event-to-row": screen.event_to_row,
    "memory": screen.memory,
    "idle": screen.idle,
    "gpu-wall": gpus.gpu_wall,
    "gpu-wall-1024": gpus.gpu_wall_1024,
    "audit-verify": audit.audit_verify,
    "ledger-append": curation.ledger_append,
    "queue-5k": curation.queue_5k,
    "evaluate-10k": curation.evaluate_10k,
    "sync-unchanged": sync.sync_unchanged,
    "sync-first": sync.sync_first,
    "sync-skopeo": sync.sync_skopeo,
    "sync-skopeo-again": sync.sync_skopeo_unchanged,
    "search-100k": library.search_100k,
    "library-open": library.library_open,
    "dcgm-parse": telemetry.dcgm_parse,
    "nvml-tick": telemetry.nvml_tick,
    "scrape-256": telemetry.scrape_256,
    "series-month": history.series_month,
    "chart-100ms": history.chart_100ms,
    "series-record": history.series_record,
    "evidence-import": evidence.evidence_import,
}


def main() -> int:
    """Run them and print what they found."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--only", choices=sorted(BENCHMARKS))
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    chosen = parser.parse_args()
    found: list[dict[str, object]] = []
    short = False
    for name, benchmark in BENCHMARKS.items():
        if chosen.only not in (None, name):
            continue
        try:
            figure = benchmark()
        except SkippedError as error:
            found.append({"name": name, "state": "skipped", "why": str(error)})
            line = f"{name:16} skipped: {error}"
        else:
            short |= figure.state == "short"
            found.append(figure.as_data())
            line = figure.line()
        if chosen.output == "table":
            print(line, flush=True)
    if chosen.output == "json":
        print(json.dumps(found, indent=2))
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
