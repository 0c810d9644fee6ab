"""A candidate as `queue show` prints it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from backend.cli.commands.queue import candidate_text
from backend.core.views import WaiverView
from tests.fakes import screen_data as data


@pytest.mark.parametrize(
    ("owner", "told"),
    [("mira", "mira answers for it: not reachable"), ("kim", "kim answers for it, granted by mira: not reachable")],
)
def test_who_granted_a_waiver_is_told_where_somebody_else_answers_for_it(owner: str, told: str) -> None:
    candidate = data.candidates()[0]
    waiver = WaiverView(
        id="1", digest=candidate.digest, finding="CVE-1", owner=owner, actor="mira", reason="not reachable",
        control="", at=data.NOW, until=data.NOW + timedelta(days=1),
    )  # fmt: skip
    assert told in candidate_text(msgspec.structs.replace(candidate, waivers=(waiver,)))
