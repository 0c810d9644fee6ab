"""Plans on the screen: what folds, fields of others, a file for a repository, and applies that were cut off."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backend.core.views import CutOffObjectView, CutOffView, DiffLineView, PlanCheckView, PlanView
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tests.tui.test_screen_deployments import _plan
from tui.document import plain
from tui.panes.deployments.plan_model import folded_lines, plan_sections


def _cut_off(name: str = "cut-chat") -> CutOffView:
    objects = (CutOffObjectView(kind="InferenceService", namespace="llm-prod", name=name, state="absent", made=False),)
    return CutOffView(
        id=f"id-{name}",
        context="prod-eu1",
        namespace="llm-prod",
        name=name,
        subject="service",
        image="r/i@sha256:" + "1" * 64,
        actor="mira",
        started_at=data.NOW,
        objects=objects,
        told="nothing was applied",
        undo="has nothing to take back",
    )


async def test_fields_of_others_are_taken_one_by_one_and_planned_again() -> None:
    yard = FakeYard()
    yard.plan_fields = (".spec.predictor.minReplicas", ".spec.predictor.timeout")
    async with desk(yard, size=(120, 40)) as table:
        await _plan(table)
        await table.sees("May not be applied", "Fields that others manage", "managed by other-tool")
        await table.press("t")
        await table.sees("Take fields", "[ ]")
        await table.press("down", "space", "enter")
        await table.sees("[x] .spec.predictor.timeout")
        assert "✗ .spec.predictor.minReplicas is managed by other-tool" in table.text()
        await table.press("t")
        await table.sees("Take fields")
        await table.press("asterisk", "enter")
        await table.sees_not("May not be applied")
        await table.press("D")
        await table.sees("Type new-chat to confirm", ".spec.predictor.minReplicas is taken from other-tool")


async def test_the_manifests_are_written_to_a_new_file_only(tmp_path: Path) -> None:
    async with desk(size=(120, 40)) as table:
        await _plan(table)
        await table.press("w")
        await table.sees("Write the manifests", "new-chat.yaml")
        await table.press("ctrl+u")
        await table.type(str(tmp_path / "out.yaml"))
        await table.press("enter")
        await table.until(lambda: (tmp_path / "out.yaml").is_file())
        await table.sees("commit it to the repository")
        assert "kind: InferenceService" in (tmp_path / "out.yaml").read_text()
        await table.press("w")
        await table.sees("Write the manifests")
        await table.press("ctrl+u")
        await table.type(str(tmp_path / "out.yaml"))
        await table.press("enter")
        await table.sees("there is such a file already")


@pytest.mark.parametrize(("downs", "undo", "verb"), [(0, False, "COMPLETE"), (1, True, "UNDO")])
async def test_what_was_cut_off_is_told_and_settled_by_a_plan(downs: int, undo: bool, verb: str) -> None:
    yard = FakeYard()
    yard.cut_off_views = [_cut_off()]
    async with desk(yard) as table:
        await table.sees("1 cut off (U)")
        await table.press("3")
        await table.sees("an apply of llm-prod/cut-chat was cut off", "nothing was applied")
        await table.press("U")
        await table.sees("Applies that were cut off", "complete it", "take it back", "leave it")
        await table.press(*["down"] * downs, "enter")
        await table.sees(f"{verb} llm-prod/cut-chat")
        assert yard.called("settle_plan") == [("id-cut-chat", undo)]
        await table.press("D")
        await table.sees("Type cut-chat to confirm")
        await table.type("cut-chat")
        await table.press("enter")
        await table.until(lambda: yard.called("apply"))


async def test_what_was_cut_off_can_be_left() -> None:
    yard = FakeYard()
    yard.cut_off_views = [_cut_off()]
    async with desk(yard) as table:
        await table.sees("1 cut off (U)")
        await table.press("U")
        await table.sees("leave it")
        await table.press("down", "down", "enter")
        await table.sees("Leave llm-prod/cut-chat as it stands?")
        await table.press("right", "enter")
        await table.until(lambda: yard.called("leave"))
        await table.press("U")
        await table.sees("Applies that were cut off")


async def test_what_runs_is_written_as_a_deployment_file_or_as_manifests(tmp_path: Path) -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("3", "x")
        await table.sees(
            "Write llm-prod/llama-70b", "team: nlp is not in the file", "its deployment file", "its manifests"
        )
        await table.press("down", "enter")
        await table.sees("File", "llama-70b.yaml")
        await table.press("ctrl+u")
        await table.type(str(tmp_path / "out.yaml"))
        await table.press("enter")
        await table.until(lambda: (tmp_path / "out.yaml").is_file())
        assert (tmp_path / "out.yaml").read_text().startswith("kind: InferenceService")


async def test_what_was_cut_off_is_settled_whatever_the_cursor_is_on() -> None:
    yard = FakeYard()
    yard.cut_off_views = [_cut_off()]
    graph = msgspec.structs.replace(next(iter(yard.service_views.values())), kind="InferenceGraph")
    yard.service_views = {graph.key: graph}
    async with desk(yard) as table:
        await table.press("3")
        await table.sees("was cut off")
        await table.press("x")
        await table.sees("InferenceGraphs have no deployment file")
        await table.press("U")
        await table.sees("Applies that were cut off")


def _long() -> tuple[DiffLineView, ...]:
    lines = [DiffLineView(mark=" ", text=f"line {number}") for number in range(20)]
    return (*lines, DiffLineView(mark="+", text="new"))


async def test_lines_that_do_not_change_fold_and_unfold(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = FakeYard()
    original = yard.deployments._plan

    def long(*arguments: str) -> PlanView:
        plan = original(*arguments)
        return msgspec.structs.replace(plan, objects=(msgspec.structs.replace(plan.objects[0], diff=_long()),))

    monkeypatch.setattr(yard.deployments, "_plan", long)
    async with desk(yard, size=(120, 50)) as table:
        await _plan(table)
        await table.sees("▸ 17 lines do not change", "line 17")
        assert "line 16" not in table.text()
        await table.press("z")
        await table.sees("line 0", "line 16")
        await table.press("z")
        await table.sees("▸ 17 lines do not change")


def test_what_is_missing_stands_before_what_is_there() -> None:
    yard = FakeYard()
    plan = yard.deployments._plan("llm-prod", "x", "r/i@sha256:1", "create", "")
    checks = tuple(
        PlanCheckView(about=f"secret {state}", state=state, sentence="told") for state in ("ok", "unknown", "missing")
    )
    sections = {section.title: section for section in plan_sections(msgspec.structs.replace(plan, checks=checks))}
    told = [plain(line) for line in sections["What its pods need"].lines]
    assert [line.partition("  ")[0] for line in told] == ["✗ secret missing", "? secret unknown", "✓ secret ok"]
    assert len(folded_lines(_long(), unfolded=True)) == 21
