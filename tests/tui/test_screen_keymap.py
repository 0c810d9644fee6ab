"""Keys: one registry, checked before the screen opens."""

from __future__ import annotations

import inspect

import pytest

from backend.core.errors import ConfigurationError
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tui.actions import ACTIONS, BY_ID, PANES, mutating, unavailable
from tui.hints import help_sections
from tui.keymap import KeyMap
from tui.page import Page
from tui.panes.alerts.page import AlertsPage
from tui.panes.audit.page import AuditPage, EntryPage
from tui.panes.common.text import TextPage
from tui.panes.deployments.logs import LogPage
from tui.panes.deployments.page import DeploymentsPage
from tui.panes.deployments.plan import PlanPage
from tui.panes.deployments.proof_pages import ChangesPage, RunningPage
from tui.panes.deployments.service import ServicePage
from tui.panes.gpus.detail import GpuPage, NodePage
from tui.panes.gpus.history import HistoryPage
from tui.panes.gpus.history_capacity import CapacityPage
from tui.panes.gpus.history_cost import CostPage
from tui.panes.gpus.page import GpusPage
from tui.panes.library.detail import ImagePage
from tui.panes.library.page import LibraryPage
from tui.panes.library.rule_page import RuleDraftPage, RulePage
from tui.panes.library.rules import RulesPage
from tui.panes.library.runs import RunPage, RunsPage
from tui.panes.overview.page import OverviewPage
from tui.panes.queue.card import CardPage
from tui.panes.queue.evidence import EvidencePage
from tui.panes.queue.page import QueuePage
from tui.panes.runtimes.compare import DifferencePage
from tui.panes.runtimes.detail import RuntimePage
from tui.panes.runtimes.page import RuntimesPage

_DESIGN_KEYS = {
    "go.overview": "0",
    "go.library": "1",
    "go.queue": "2",
    "go.deployments": "3",
    "go.gpus": "4",
    "go.audit": "5",
    "pane.next": "tab",
    "pane.zoom": "+",
    "pane.unzoom": "_",
    "queue.approve": "A",
    "queue.reject": "R",
    "queue.revoke": "V",
    "deploy.form": "D",
    "plan.apply": "D",
    "deploy.rollback": "B",
    "deploy.stop": "S",
    "deploy.delete": "X",
    "gpus.idle": "i",
    "program.help": "?",
    "program.menu": "m",
    "look.filter": "/",
    "program.command": ":",
    "program.log": "@",
    "look.pause": "Z",
    "look.copy": "c",
    "look.refresh": "r",
}


def test_the_keys_of_the_design_hold() -> None:
    keymap = KeyMap()
    assert {name: keymap.keys(name)[0] for name in _DESIGN_KEYS} == _DESIGN_KEYS


def test_ids_are_unique_and_groups_known() -> None:
    assert len(BY_ID) == len(ACTIONS)
    assert {action.group for action in ACTIONS} <= {"Decide", "Change", "Look", "Move", "Panes", "Program"}


def test_what_decides_or_changes_has_a_capital_a_command_or_a_dialog_key() -> None:
    for action in mutating():
        if action.group == "Decide":
            assert all(key.isupper() for key in action.keys)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"queue.approve": "R"}, "'R' is both queue.approve and queue.reject"),
        ({"queue.aprove": "y"}, "perhaps 'queue.approve'"),
        ({"queue.approve": "hyper+q"}, "which is no key"),
        ({"look.filter": "tab"}, "'tab' is both pane.next and look.filter"),
    ],
)
def test_a_clash_or_an_unknown_name_is_an_error_that_tells_it(table: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match="keys") as caught:
        KeyMap(table)
    assert told in caught.value.why


def test_every_problem_of_the_table_is_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyMap({"nope": "x", "queue.approve": "R"})
    assert "nope" in caught.value.why
    assert "queue.reject" in caught.value.why


def test_keys_can_be_changed_and_taken_away() -> None:
    keymap = KeyMap({"queue.approve": "ctrl+y F5", "deploy.delete": ""})
    assert keymap.action("queue", "ctrl+y") is BY_ID["queue.approve"]
    assert keymap.action("queue", "f5") is BY_ID["queue.approve"]
    assert keymap.action("deployments", "X") is None


def test_what_actions_change_and_who_may_is_what_the_gate_knows() -> None:
    from backend.flows.gate import MUTATIONS

    told = {action.mutates: action.role for action in mutating()}
    assert {name: MUTATIONS[name].role.value for name in told if name is not None} == told


def test_the_same_key_may_mean_different_things_in_different_panes() -> None:
    keymap = KeyMap()
    assert keymap.action("plan", "D") is BY_ID["plan.apply"]
    assert keymap.action("card", "D") is BY_ID["deploy.form"]


async def test_every_action_has_a_method_on_every_page_that_offers_it() -> None:
    async with desk(ready=False) as table:
        pages: list[type[Page]] = [
            AlertsPage,
            AuditPage,
            EntryPage,
            TextPage,
            LogPage,
            DeploymentsPage,
            PlanPage,
            ServicePage,
            GpuPage,
            GpusPage,
            NodePage,
            ImagePage,
            LibraryPage,
            OverviewPage,
            CardPage,
            EvidencePage,
            QueuePage,
            RuleDraftPage,
            RulePage,
            RulesPage,
            RunPage,
            RunsPage,
            HistoryPage,
            CapacityPage,
            CostPage,
            DifferencePage,
            RuntimePage,
            RuntimesPage,
            RunningPage,
            ChangesPage,
        ]
        assert {page.pane for page in pages} | {"note"} == set(PANES)
        missing = [
            (page.__name__, action.id)
            for page in pages
            for action in ACTIONS
            if action.works_in(page.pane)
            and not inspect.isfunction(getattr(page, "act_" + action.id.replace(".", "_").replace("-", "_"), None))
        ]
        assert missing == []
        assert table.app.return_code is None


def test_help_names_every_action_of_a_pane() -> None:
    shown = "".join(
        span.text for section in help_sections(KeyMap(), "queue") for line in section.lines for span in line
    )
    assert all(action.title in shown for action in ACTIONS if action.works_in("queue"))
    assert BY_ID["deploy.delete"].title not in shown


def test_what_the_actor_may_not_do_is_said_before_a_form_opens() -> None:
    approve = BY_ID["queue.approve"]
    assert unavailable(approve, data.status()) == ""
    assert "needs the role approver" in unavailable(approve, data.status(roles=("operator",)))
    assert "writes are off" in unavailable(approve, data.status(writes="read-only"))
    assert unavailable(approve, data.status(roles=(), unrestricted=True)) == ""
    assert unavailable(BY_ID["look.filter"], None) == ""


async def test_a_rebound_key_works_and_stands_in_the_footer() -> None:
    async with desk(keys={"go.queue": "Q"}) as table:
        await table.press("Q")
        await table.sees("━ 2 QUEUE")


async def test_the_menu_does_what_is_chosen_and_says_what_may_not_be() -> None:
    from tests.fakes.screen_yard import FakeYard

    async with desk(FakeYard(status={"roles": ("viewer",)}), size=(120, 40)) as table:
        await table.press("m")
        await table.sees("Menu  overview", "Approve  it needs the role approver")
        await table.press("4")
        await table.sees("━ 4 GPUS")


async def test_help_is_of_the_pane_at_hand() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("4", "question_mark")
        await table.sees("what works in: gpus", "GPUs that are held and do nothing")
        assert "Approve" not in table.text()
        await table.press("escape")
        await table.sees("━ 4 GPUS")
