"""`gpu history`, `gpu cost` and `gpu capacity` on a yard with some days of history, without any cluster in reach."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.cli.demo_history import make_up
from backend.core.ports import SystemClock
from backend.telemetry.series_store import SeriesStore
from backend.telemetry.store import TelemetryStore, telemetry_path
from tests.fakes import screen_data as data
from tests.fakes.cli import Place

PRICES = '[[price]]\ngpu = "*H100*"\nper_hour = 2.5\n[[price]]\ngpu = "*A100*"\nper_hour = 1.0\n'


async def _fill(path: Path) -> None:
    store = TelemetryStore(path, SystemClock())
    await make_up(SeriesStore(store), data.gpus(), datetime.now(UTC), seed=1)
    await store.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("history") / "telemetry.db"
    asyncio.run(_fill(path))
    return path.read_bytes()


@pytest.fixture
def place(tmp_path: Path, history: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    made = Place(tmp_path / "place", PRICES)
    made.database.parent.mkdir(parents=True)
    telemetry_path(made.database).write_bytes(history)
    yield made


def test_the_history_of_a_gpu_by_its_name_and_its_key(place: Place) -> None:
    points = place.json("gpu", "history", "--gpu", "gpu-01/0", "--window", "7d", "--metric", "power")
    assert len(points) > 100
    assert {point["unit"] for point in points} == {"watts"}
    assert all(point["low"] <= point["mean"] <= point["high"] for point in points)
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    again = place.json("gpu", "history", "--gpu", points[0]["key"], "--window", "7d", "--metric", "power")
    assert len(again) == pytest.approx(len(points), abs=1)


def test_the_history_of_a_service_and_of_all_types(place: Place) -> None:
    table = place.run("gpu", "history", "--service", "llm-prod/llama-70b", "--window", "24h")
    assert table.code == 0 and "generation_tokens_per_second" in table.out
    assert {point["metric"] for point in place.json("gpu", "history")} == {"allocated"}


def test_csv_is_for_spreadsheets_and_evaluates_nothing(place: Place) -> None:
    ran = place.run("gpu", "cost", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert rows[-1]["key"] == "total" and float(rows[-1]["cost"]) > 0
    points = list(csv.DictReader(io.StringIO(place.run("gpu", "history", "-o", "csv").out)))
    assert points and {"at", "mean", "low", "high", "unit", "source"} <= set(points[0])
    assert not any(value.startswith(("=", "+", "-", "@")) for row in (*rows, *points) for value in row.values())


def test_costs_add_up_and_are_called_estimates(place: Place) -> None:
    for by in ("service", "team", "type"):
        rows = place.json("gpu", "cost", "--since", "3d", "--by", by)
        assert sum(row["cost"] for row in rows[:-1]) == pytest.approx(rows[-1]["cost"])
        assert rows[-1]["key"] == "total" and rows[-1]["currency"] == "USD"
        assert all(row["idle_hours"] <= row["gpu_hours"] + 1e-6 for row in rows)
    assert "estimates" in place.run("gpu", "cost").err
    place.configure("")
    unpriced = place.run("gpu", "cost", "-o", "json")
    assert {row["cost"] for row in unpriced.data} == {None}
    assert "no prices are configured" in unpriced.err


def test_capacity_tells_a_trend_with_its_interval(place: Place) -> None:
    (found, *_) = place.json("gpu", "capacity")
    trend = found["trend"]
    assert trend["per_day_low"] <= trend["per_day"] <= trend["per_day_high"]
    assert trend["expected_low"] <= trend["expected"] <= trend["expected_high"]
    assert "days of history" in trend["sentence"]
    replicas = place.run("gpu", "capacity", "--replicas", "-o", "json")
    assert all(row["sentence"].startswith("forecast from history, advice only") for row in replicas.data)
    assert "nothing acts on them" in replicas.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["history", "--metric", "colour"], 2, "no metric 'colour'"),
        (["history", "--window", "soon"], 2, "--window"),
        (["history", "--window", "1s"], 2, "no time to look back over"),
        (["history", "--gpu", "nowhere/9"], 5, "nothing of that name was recorded"),
        (["history", "--gpu", "a", "--service", "b"], 2, "one GPU or of one service"),
        (["cost", "--by", "colour"], 2, "not told by 'colour'"),
        (["cost", "--since", "-1d"], 2, "--since"),
        (["capacity", "--what-if", "llama"], 2, "how many replicas of what"),
        (["capacity", "--what-if", "llm/llama+0"], 2, "how many replicas of what"),
        (["capacity", "--what-if", "llm/llama+1"], 2, "kubeconfig"),
    ],
)
def test_wrong_use_is_told(place: Place, words: list[str], code: int, told: str) -> None:
    ran = place.run("gpu", *words)
    assert ran.code in {code, 6} if told == "kubeconfig" else ran.code == code, ran.err
    assert told in ran.error or told == "kubeconfig"


def test_without_history_it_is_said_so(place: Place) -> None:
    telemetry_path(place.database).unlink()
    ran = place.run("gpu", "history")
    assert ran.code == 1 and "nothing was recorded yet" in ran.error
    telemetry_path(place.database).write_bytes(b"damaged" * 1000)
    damaged = place.run("gpu", "cost")
    assert damaged.code == 0 and "nobody was seen" in damaged.err and "was damaged: it was moved to" in damaged.err
    assert [path.name[:20] for path in place.database.parent.glob("*.damaged-*")] == ["telemetry.db.damaged"]
    assert place.run("queue", "list").code == 0
