"""Diffs that fold, and quantities of Kubernetes."""

from __future__ import annotations

import contextlib
import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.diffs import difference, runs
from backend.core.quantities import parse_quantity, quantity_text

TEXTS = st.lists(st.sampled_from("abc"), max_size=30).map("\n".join)


@given(TEXTS, TEXTS, st.integers(0, 4))
def test_runs_lose_no_line_and_fold_none_that_changed(old: str, new: str, context: int) -> None:
    lines = difference(old, new)
    found = runs(lines, context)
    assert tuple(line for run in found for line in run.lines) == lines
    assert all(line.mark == " " for run in found if run.folds for line in run.lines)
    assert all(one.folds != other.folds for one, other in itertools.pairwise(found))
    assert old.splitlines() == [line.text for line in lines if line.mark != "+"] or old == new
    assert new.splitlines() == [line.text for line in lines if line.mark != "-"] or old == new


def test_what_is_far_from_a_change_folds() -> None:
    old = [f"line {number}" for number in range(40)]
    new = [*old[:20], "changed", *old[21:]]
    before, seen, after = runs(difference("\n".join(old), "\n".join(new)))
    assert (before.folds, seen.folds, after.folds) == (True, False, True)
    assert [line.text for line in seen.lines] == [
        "line 17", "line 18", "line 19", "line 20", "changed", "line 21", "line 22", "line 23"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", "0.5"), ("8", "8"), (8, "8"), (1.5, "1.5"), ("48Gi", str(48 * 1024**3)), ("1e3", "1000"),
        ("2k", "2000"), (".5", "0.5"), ("1Ki", "1024"), ("3E", str(3 * 10**18)),
    ],
)  # fmt: skip
def test_quantities_are_read(text: object, amount: str) -> None:
    assert parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "one", "1 Gi", "1gi", "--1", None, True, "1" * 65, [], "NaN", "1e9999"])
def test_what_is_no_quantity_is_told_as_none(text: object) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_quantity(text).is_finite()


def test_amounts_are_told_as_people_read_them() -> None:
    assert quantity_text(Decimal(64 * 1024**3), "requests.memory") == "64Gi"
    assert quantity_text(Decimal("0.5"), "requests.cpu") == "0.5"
    assert quantity_text(Decimal(0), "memory") == "0"
    assert quantity_text(Decimal(10), "requests.nvidia.com/gpu") == "10"
