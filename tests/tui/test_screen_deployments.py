"""Plans, deploys, rollbacks, stops and deletions by key and dialog."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from backend.core.errors import AdmissionError, NotFoundError, UnreachableError
from backend.core.events import SourceChanged, Topic
from backend.core.views import BlastView, SnapshotView, SourceState, SourceView, Verdict
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.deployments import hand_over

APPROVED = data.candidates()[-1]


async def _plan(table: Desk) -> None:
    """By the keys of an approver: the queue, the approved image, D, a name, Enter."""
    await table.press("2", "G")
    await table.sees("approved")
    await table.press("D")
    await table.sees("Service name")
    await table.type("new-chat")
    await table.press("enter")
    await table.sees("PLAN llm-prod/new-chat")


async def test_deploying_goes_through_a_plan_to_the_service() -> None:
    async with desk() as table:
        await _plan(table)
        assert table.yard.called("forms.open") == [(APPROVED.reference, "llm-prod")]
        ((written, namespace),) = table.yard.called("plan")
        assert (written.startswith("name: new-chat\n"), namespace) == (True, "llm-prod")
        assert not table.yard.called("apply")
        await table.sees("+       - --max-model-len=8192", "-       - --max-model-len=131072")
        await table.press("D")
        await table.sees("Apply llm-prod/new-chat?", "Type new-chat to confirm")
        await table.type("new-chat")
        await table.press("enter")
        await table.until(lambda: table.yard.called("apply"))
        await table.sees("3 llm-prod/new-chat", "STARTING", "pulling the image")
        await table.press("l")
        await table.sees("LOG llm-prod/new-chat")


async def test_nothing_is_applied_unless_the_name_is_typed() -> None:
    async with desk() as table:
        await _plan(table)
        await table.press("D")
        await table.sees("Type new-chat to confirm")
        await table.type("new-cat")
        await table.press("enter")
        await table.sees("type new-chat to confirm")
        await table.press("escape")
        assert not table.yard.called("apply")
        await table.sees("PLAN llm-prod/new-chat")


async def test_with_confirm_dialog_cancel_has_the_focus() -> None:
    async with desk(confirm="dialog") as table:
        await _plan(table)
        await table.press("D")
        await table.sees("▸ Cancel ◂")
        await table.press("enter")
        await table.sees_not("Cancel")
        assert not table.yard.called("apply")
        await table.press("D")
        await table.sees("▸ Cancel ◂")
        await table.press("right", "enter")
        await table.until(lambda: table.yard.called("apply"))


async def test_a_plan_with_refusals_is_not_applied() -> None:
    yard = FakeYard()
    yard.plan_refusals = ("the image was revoked by mira",)
    async with desk(yard) as table:
        await _plan(table)
        await table.sees("May not be applied", "✗ the image was revoked by mira")
        await table.press("D")
        await table.sees("it may not be applied")
        assert not table.app.screen.is_modal


async def test_what_admission_refuses_is_told_in_the_dialog() -> None:
    error = AdmissionError(
        "apply of llm-prod/new-chat", "policy curated-images: digest is not approved", "approve the image first"
    )
    async with desk(FakeYard(errors={"apply": error}), size=(100, 40)) as table:
        await _plan(table)
        await table.press("D")
        await table.sees("Type new-chat")
        await table.type("new-chat")
        await table.press("enter")
        await table.sees("digest is not approved", "approve the image first")


async def test_rolling_back_takes_the_last_approved_snapshot_and_shows_the_difference() -> None:
    async with desk() as table:
        await table.press("B")
        await table.sees("ROLLBACK llm-prod/llama-70b", "Type llama-70b to confirm", "1 of 2 replicas missing")
        assert table.yard.called("rollback_plan") == [("llm-prod", "llama-70b", "r40")]
        assert "--max-model-len=8192" in table.text()
        await table.type("llama-70b")
        await table.press("enter")
        await table.until(lambda: table.yard.called("apply"))
        await table.sees("3 llm-prod/llama-70b")


@pytest.mark.parametrize(("held", "told"), [(1, "[ Roll back ]"), (0, "nothing was applied to it here")])
async def test_what_others_wrote_since_the_only_apply_can_be_taken_back(held: int, told: str) -> None:
    async with desk(size=(120, 40)) as table:
        newest = max(data.snapshots(data.services()[0]), key=lambda one: one.at)

        async def snapshots(*_arguments: object, **_named: object) -> list[SnapshotView]:
            return [msgspec.structs.replace(newest, good=False)][:held]

        table.yard.deployments.snapshots = snapshots  # type: ignore[method-assign]
        await table.press("3", "B")
        await table.sees(told)
        assert table.yard.called("rollback_plan") == [("llm-prod", "llama-70b", newest.id)][:held]


async def test_another_snapshot_can_be_chosen() -> None:
    async with desk() as table:
        await table.press("B")
        await table.sees("Type llama-70b")
        await table.press("escape")
        await table.sees("snapshot 3 of 3", "image still approved")
        await table.press("right_square_bracket")
        await table.sees("snapshot 2 of 3", "no longer approved")


@pytest.mark.parametrize(("key", "verb", "question"), [("S", "stop", "Stop"), ("X", "delete", "Delete")])
async def test_stopping_and_deleting_ask_for_the_name(key: str, verb: str, question: str) -> None:
    async with desk() as table:
        await table.press("3")
        await table.sees("VERDICT")
        await table.press(key)
        await table.sees(f"{question} llm-prod/llama-70b?", "16 GPUs become free")
        await table.type("llama-70b")
        await table.press("enter")
        await table.until(lambda: table.yard.called(verb))
        assert table.yard.called(verb) == [("llm-prod", "llama-70b")]


async def test_a_stopped_service_is_started_by_the_same_key() -> None:
    async with desk() as table:
        await table.press("3", "G")
        await table.sees("phi-old")
        await table.press("S")
        await table.sees("Start llm-dev/phi-old?")
        await table.type("phi-old")
        await table.press("enter")
        await table.until(lambda: table.yard.called("start"))


async def test_scaling_by_command_and_what_is_done_is_logged() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("3")
        await table.command("scale 4")
        await table.sees("Scale llm-prod/llama-70b?", "from 2 replicas to 4", "12.5 requests a second")
        await table.type("llama-70b")
        await table.press("enter")
        await table.until(lambda: table.yard.called("scale"))
        assert table.yard.called("scale") == [("llm-prod", "llama-70b", 4)]
        await table.press("at")
        await table.sees("LOG OF COMMANDS", "kubectl --context prod-eu1 -n llm-prod patch inferenceservice llama-70b")


async def test_a_number_of_replicas_is_asked_for_before_what_it_ends() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("3")
        await table.press("equals_sign")
        await table.sees("How many replicas of llm-prod/llama-70b?")
        await table.press("enter")
        await table.sees("Scale llm-prod/llama-70b?", "12.5 requests a second")
        assert not table.yard.called("scale")


async def test_nothing_is_changed_in_a_cluster_that_is_lost() -> None:
    async with desk(size=(160, 45)) as table:
        lost = SourceView(
            name="prod-eu1", kind="cluster", state=SourceState.LOST, as_of=data.NOW, detail="connection refused"
        )
        table.yard.status_view = data.status(sources=(lost,))
        table.yard.publish(Topic.SOURCES, SourceChanged(key="prod-eu1", source=lost))
        await table.sees("api lost")
        table.clock.move(minutes=7)
        for key in ("S", "equals_sign", "B"):
            await table.press("3", key)
            await table.sees("writes are refused, prod-eu1 is lost for 7m: connection refused")
        assert not table.yard.called("blast")


async def test_what_takes_long_before_a_dialog_is_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.key_queue._PATIENCE_SECONDS", 0.1)
    async with desk(size=(160, 45)) as table:
        asked = asyncio.Event()

        async def never(*_arguments: object, **_named: object) -> BlastView:
            asked.set()
            return await asyncio.Future()

        table.yard.deployments.blast = never  # type: ignore[method-assign]
        await table.press("3", "S")
        await asked.wait()
        await table.sees("asking what stop would end…", "Esc gives it up")
        await table.press("S")
        await table.sees("still asking what stop would end")
        await table.press("escape")
        await table.sees("given up")
        assert "Stop llm-prod" not in table.text()


async def test_the_service_page_follows_the_cluster() -> None:
    async with desk() as table:
        await table.press("3", "enter")
        await table.sees("verdict  FAILED")
        table.yard.put_service(data.service("llm-prod", "llama-70b", Verdict.SERVING, gpus=16, since=data.NOW))
        await table.sees("verdict  SERVING")
        table.yard.remove_service("prod-eu1/llm-prod/llama-70b")
        await table.sees("GONE")


async def test_logs_are_of_the_pod_that_fails_and_can_be_searched() -> None:
    async with desk() as table:
        await table.press("p")
        await table.sees("PREVIOUS LOG", "max_model_len is too large")
        assert table.yard.called("logs") == [("llm-prod", "llama-70b-predictor-58cc-x", True)]
        await table.press("slash")
        await table.type("shard 7 of")
        await table.press("enter")
        await table.sees("loading shard 7 of 30", "1 lines match")


async def test_manifest_and_events_open_and_close() -> None:
    async with desk() as table:
        await table.press("3", "y")
        await table.sees("MANIFEST llm-prod/llama-70b", "kind: InferenceService")
        await table.press("q", "e")
        await table.sees("EVENTS llm-prod/llama-70b", "Back-off restarting failed container")


async def test_a_namespace_and_a_filter_by_command() -> None:
    async with desk() as table:
        await table.command("deployments llm-dev /sd")
        await table.sees("3 DEPLOYMENTS 1 of 41", "llm-dev/sd-turbo")


async def test_sorting_goes_through_the_columns() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("3", "s", "s")
        await table.sees("NAMESPACE/NAME▲")
        first = table.text().splitlines()[4]
        assert "llm-dev/" in first
        await table.press("I")
        await table.sees("NAMESPACE/NAME▼")
        assert "llm-search/" in table.text().splitlines()[4]


async def test_the_draft_can_be_edited_and_planned_again() -> None:
    async with desk() as table:
        await _plan(table)
        await table.press("e")
        await table.sees("Deployment file", "name: new-chat")
        await table.press("f2")
        await table.until(lambda: len(table.yard.called("plan")) == 2)
        await table.sees("PLAN llm-prod/new-chat")


async def test_a_service_that_cannot_be_read_says_why_on_its_page() -> None:
    error = UnreachableError("service llm-prod/llama-70b", "the API server does not answer", "look at the network")
    async with desk(FakeYard(errors={"service": error})) as table:
        await table.press("3", "enter")
        await table.sees("Could not be read", "the API server does not answer", "look at the network")


async def test_a_service_is_told_in_tabs_and_each_is_read_when_it_is_seen() -> None:
    async with desk() as table:
        await table.press("3", "enter")
        await table.sees("[overview]", "Verdict", "proof")
        assert not table.yard.called("snapshots")
        await table.press("tab")
        await table.sees("[pods 2]", "node     gpu-01", "CrashLoopBackOff not ready")
        await table.command("tab snap")
        await table.sees("[snapshots]", "B goes back")
        await table.press("tab")
        await table.sees("[overview]")
        await table.command("tab nothing")
        await table.sees("there is no tab 'nothing'")


async def test_rows_are_filtered_by_words_and_shown_with_their_facts() -> None:
    async with desk() as table:
        await table.press("3")
        await table.sees("llama-70b", "WHY")
        await table.press("slash")
        await table.type("verdict:failed,stuck")
        await table.press("enter")
        await table.sees("llama-70b", "2 of 41")
        await table.sees_not("SERVING")
        await table.press("escape", "w")
        await table.sees("APPROVED", "AGE")
        await table.sees_not("WHY")
        await table.press("slash")
        await table.type("colour:red")
        await table.press("enter")
        await table.sees("there is no field 'colour'")


async def test_marked_services_are_stopped_together_and_each_tells_what_became_of_it() -> None:
    async with desk() as table:
        await table.press("3", "space", "space")
        await table.sees("2 marked")
        await table.press("S")
        await table.sees("Stop 2 services?", "llama-70b", "become free", "Type 2 to confirm")
        await table.sees("The requests of 1 service are not known")
        await table.type("2")
        await table.press("enter")
        await table.sees("stopped 2 of 2")
        assert len(table.yard.called("stop")) == 2
        await table.sees_not("marked")


async def test_what_fails_of_several_stays_marked_and_says_why() -> None:
    error = UnreachableError("stop", "the API server does not answer", "try again")
    async with desk(FakeYard(errors={"stop": error})) as table:
        await table.press("3", "space", "v", "S")
        await table.sees("Stop 2 services?")
        await table.type("2")
        await table.press("enter")
        await table.sees("STOPPED 0 OF 2", "error: the API server does not answer")
        await table.press("escape")
        await table.sees("2 marked")


async def test_a_log_is_followed_container_by_container_and_saved_to_a_new_file(tmp_path: Path) -> None:
    async with desk() as table:
        await table.press("3", "l")
        await table.sees("LOG llm-prod/llama-70b", "following", "llama-70b-predictor-58cc-x/kserve-container")
        await table.sees("kserve-container begins")
        table.yard.log.put_nowait("one more \x1b[31mline\x1b[0m")
        await table.sees("one more")
        assert "\x1b" not in table.text()
        await table.press("tab")
        await table.sees("4/4", "queue-proxy begins")
        table.yard.log.put_nowait("")
        await table.sees("ended 14:02; r reads it again")
        target = tmp_path / "kept.log"
        for told in ("2 lines written to", "there is such a file already"):
            await table.press("x")
            await table.sees("Save the log?", "2 lines of")
            for _ in range(60):
                await table.hurry("backspace")
            await table.type(str(target))
            await table.press("enter")
            await table.sees(told)
        assert target.read_text().splitlines()[0] == "queue-proxy begins"


async def test_a_log_that_cannot_be_read_says_why_and_the_next_container_can() -> None:
    error = NotFoundError("log", "the container waits to start", "wait until it runs")
    async with desk(FakeYard(errors={"follow_logs": error})) as table:
        await table.press("3", "l")
        await table.sees("the container waits to start", "wait until it runs")
        await table.press("p")
        await table.sees("PREVIOUS LOG", "of the run before", "max_model_len is too large")


async def test_a_shell_is_let_through_and_handed_to_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    async def run(_app: object, arguments: Sequence[str]) -> int:
        ran.append(tuple(arguments))
        return 0

    monkeypatch.setattr(hand_over, "run_outside", run)
    monkeypatch.setattr(hand_over, "missing", lambda _program: "")
    async with desk() as table:
        await table.press("3", "b")
        await table.sees("Open a shell in llm-prod/llama-70b?", "queue-proxy", "The ledger keeps")
        await table.press("enter")
        await table.sees("kubectl ended with status 0")
        assert table.yard.called("shell") == [("llm-prod", "llama-70b-predictor-7d9f-0", "queue-proxy", ("sh",))]
        assert ran == [("true",)]
        await table.press("f")
        await table.sees("Forward a port to llm-prod/llama-70b?", "go around the gateway")
        await table.press("tab")
        for _ in range(4):
            await table.hurry("backspace")
        await table.type("x")
        await table.press("enter")
        await table.sees("write LOCAL:REMOTE")


async def test_without_kubectl_nothing_is_opened_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    async with desk() as table:
        await table.press("3", "b")
        await table.sees("kubectl is not on the PATH")
        assert not table.yard.called("shell")


async def test_other_kinds_are_marked_stopped_and_weighed_and_nothing_else() -> None:
    llm = data.service(
        "llm-prod", "qwen", Verdict.FAILED, "no weights", kind="LLMInferenceService", traffic="qwen 90%", gpus=99
    )
    async with desk() as table:
        table.yard.put_service(llm)
        await table.press("3", "g")
        await table.sees("llm-prod/qwen llm")
        await table.press("X")
        await table.sees("a LLMInferenceService is only looked at here")
        await table.press("%")
        await table.sees("Weight of llm-prod/qwen", "qwen 90%")
        await table.type("3")
        await table.press("tab")
        await table.type("qwen")
        await table.press("enter")
        await table.sees("weight set")
        assert table.yard.called("weigh") == [("llm-prod", "llm:qwen", 3)]


async def test_rows_of_a_lost_context_stay_with_their_age_and_each_names_its_own() -> None:
    async with desk(size=(140, 30)) as table:
        lost = data.service("llm-prod", "far", Verdict.FAILED, "crash loop", context="prod-us", as_of=data.NOW, gpus=99)
        table.yard.put_service(lost)
        await table.press("3")
        await table.sees("CONTEXT", "prod-us", "as of 14:02: c")
        await table.press("slash")
        await table.type("context:prod-us live:no")
        await table.press("enter")
        await table.sees("1 of 42")
