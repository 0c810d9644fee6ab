"""`python -m backend.cli.demo_crew`: the demo yard's worker, and a colleague who has decided on some images already.

It ends when its standard input closes, which happens whenever the demo that started it ends, however that ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.cli.demo import COLLEAGUE
from backend.cli.demo_history import make_up_when_known
from backend.cli.session import logging_to_file
from backend.config import LoadedConfiguration, load_configuration
from backend.core.errors import ModelyardError
from backend.core.logs import Redactor
from backend.core.ports import SystemClock
from backend.core.views import CandidateView, ImageState
from backend.demo.images import SERVED
from backend.telemetry.series_store import SeriesStore
from backend.telemetry.store import TelemetryStore, telemetry_path
from backend.yard import Yard, YardOptions

_SERVED: Final = frozenset(SERVED)
_HALF_APPROVED: Final = 3
_AFTER_FIRST_PAINT: Final = 2.0
_LOG = logging.getLogger(__name__)


async def _serve(configuration: LoadedConfiguration, database: Path | None, redactor: Redactor, seed: int) -> None:
    worker = await Yard.open(configuration, YardOptions(database=database), redactor=redactor)
    try:
        working = asyncio.create_task(worker.work(first=lambda: _decide(configuration, database, redactor)))
        remembering = asyncio.create_task(
            _remember(worker, telemetry_path(configuration.database_path(database)), seed)
        )
        ended = asyncio.create_task(_standard_input_closed())
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, remembering, ended):
            task.cancel()
        for outcome in await asyncio.gather(working, remembering, ended, return_exceptions=True):
            if isinstance(outcome, ModelyardError):
                raise outcome
    finally:
        await worker.close()


async def _remember(worker: Yard, path: Path, seed: int) -> None:
    """Give the charts some days to show, after the screen has come up."""
    await asyncio.sleep(_AFTER_FIRST_PAINT)
    clock = SystemClock()
    telemetry = TelemetryStore(path, clock)
    try:
        await make_up_when_known(SeriesStore(telemetry), worker.gpus.snapshot, clock.now, seed)
    except ModelyardError as error:
        _LOG.warning("there is no history to show: %s", error)
    finally:
        await telemetry.close()


async def _standard_input_closed() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        await reader.read()
    finally:
        transport.close()


async def _decide(configuration: LoadedConfiguration, database: Path | None, redactor: Redactor) -> None:
    """The colleague's decisions, and for some the person's too, so that a newcomer finds a yard in use."""
    colleague = await _open_as(configuration, database, redactor, f"demo-{COLLEAGUE}")
    person = await _open_as(configuration, database, redactor, None)
    try:
        candidates = await colleague.queue.candidates()
        if any(one.state is not ImageState.CANDIDATE or one.approvals for one in candidates):
            return
        passing = sorted((one for one in candidates if one.gates and not one.blocked), key=_order)
        served = [one for one in passing if {(one.repository, tag) for tag in one.tags} & _SERVED]
        others = [one for one in passing if one not in served]
        for one in [*served, *others[:_HALF_APPROVED]]:
            await _approve(colleague, one, "evidence reviewed, no open findings")
        for one in served:
            await _approve(person, one, "needed in production")
        critical = [one for one in candidates if one.blocked and one.risk]
        if critical:
            worst = max(critical, key=lambda one: (one.risk, one.name))
            shown = await colleague.queue.candidate(worst.reference)
            await colleague.queue.reject(
                shown.reference, reason="critical findings without a fix", evidence_hash=shown.evidence_hash
            )
    finally:
        await colleague.close()
        await person.close()


def _order(candidate: CandidateView) -> tuple[bool, bool, str]:
    """What a newcomer can deploy first: containers that serve a chat model by themselves."""
    return candidate.framework != "nim", candidate.type != "chat", candidate.name


async def _approve(yard: Yard, candidate: CandidateView, reason: str) -> None:
    shown = await yard.queue.candidate(candidate.reference)
    await yard.queue.approve(
        shown.reference, reason=reason, evidence_hash=shown.evidence_hash, policy_hash=shown.policy_hash
    )


async def _open_as(
    configuration: LoadedConfiguration, database: Path | None, redactor: Redactor, context: str | None
) -> Yard:
    return await Yard.open(configuration, YardOptions(database=database, context=context), redactor=redactor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the crew until standard input closes.

    Returns:
        0, or 1 when it had to give up.
    """
    parser = argparse.ArgumentParser(prog="demo crew")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    redactor = Redactor()
    try:
        with logging_to_file(redactor, debug=False):
            asyncio.run(_serve(load_configuration(chosen.config), chosen.db, redactor, chosen.seed))
    except ModelyardError as error:
        sys.stderr.write(f"demo crew: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
