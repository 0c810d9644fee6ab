"""What becomes of watches, requests and credentials when the network and the API server fail, each fault by itself.

A proxy between the client and the demo's API server drops, delays, truncates and replays. Nothing waits for real
back-offs: they are noted, and pass at once.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from backend.cluster.client import Application
from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import (
    AccessDeniedError,
    MalformedDataError,
    ModelyardError,
    UnreachableError,
)
from backend.demo.kubernetes.users import DemoUser, Rule
from backend.demo.kubernetes_api import cluster_app, default_users
from backend.demo.resources import INFERENCE_SERVICES as STORED
from tests.fakes.cluster_server import serving
from tests.fakes.clusters import permit
from tests.fakes.faulty_cluster import NAMESPACE, faulty, names, service, store_of

# ------------------------------------------------------------ the server goes away


async def test_a_server_that_is_gone_is_told_and_taken_up_when_it_is_back(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        yard.proxy.refusing = True
        yard.proxy.cut()
        lost = await yard.until(Lost)
        assert isinstance(lost.error, UnreachableError)
        yard.put("made-meanwhile")
        with pytest.raises(UnreachableError, match="cannot be reached"):
            await yard.client.apply(permit(), [Application(manifest=service("refused"))])
        yard.proxy.refusing = False
        await yard.until(Regained)
        changed = await yard.until(Changed)
        assert changed.object.metadata.name == "made-meanwhile"
        await yard.client.apply(permit(), [Application(manifest=service("accepted"))])
        assert (await yard.until(Changed)).object.metadata.name == "accepted"
        assert yard.seen.empty()


async def test_a_loss_is_told_once_and_asked_for_less_and_less_often(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        yard.proxy.refusing = True
        yard.proxy.cut()
        await yard.until(Lost)
        async with asyncio.timeout(5):
            await yard.waited.wait()
        assert yard.seen.empty()
        assert yard.waits[:7] == sorted(yard.waits[:7])
        assert max(yard.waits) == 30.0


async def test_a_connection_that_breaks_loses_nothing(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        yard.proxy.cut()
        yard.put("beside")
        kinds = [type(await yard.next()) for _ in range(3)]
        assert kinds == [Lost, Regained, Changed]


async def test_a_server_restored_from_an_older_copy_is_listed_anew(tmp_path: Path) -> None:
    store = store_of()
    for number in range(40):
        store.put(STORED, service("old", number + 1), manager="kubectl")
    async with faulty(tmp_path, store=store) as yard, yard.watching():
        restored = store_of()
        restored.put(STORED, service("restored"), manager="kubectl")
        async with serving(cluster_app(restored, users=default_users())) as url:
            yard.proxy.lead_to(url)
            yard.proxy.cut()
            await yard.until(Regained)
            # A watch from a version that is yet to come stays silent; the first thing that it tells gives it away.
            restored.put(STORED, service("news"), manager="kubectl")
            listed = await yard.until(Listed)
            assert names(listed) == {"restored", "news"}
            assert int(listed.resource_version) < store.version
            restored.put(STORED, service("after"), manager="kubectl")
            assert (await yard.until(Changed)).object.metadata.name == "after"
            await yard.client.connection.close()


async def test_a_server_that_says_our_version_is_yet_to_come_is_listed_anew(tmp_path: Path) -> None:
    told = {
        "kind": "Status",
        "code": 504,
        "reason": "Timeout",
        "message": "Too large resource version: 900, current: 3",
    }
    told["details"] = {"causes": [{"reason": "ResourceVersionTooLarge"}]}
    refused: list[str] = []

    @web.middleware
    async def ahead(request: web.Request, handler: Any) -> web.StreamResponse:
        if "watch" in request.query and len(refused) == 1:
            refused.append("now")
            return web.json_response(told, status=504)
        answer: web.StreamResponse = await handler(request)
        return answer

    async with faulty(tmp_path, middleware=ahead) as yard, yard.watching():
        refused.append("armed")
        yard.proxy.cut()
        await yard.until(Lost)
        listed = await yard.until(Listed)
        assert names(listed) == {"probe"}


# ------------------------------------------------------------ the network lies


async def test_a_watch_that_falls_silent_is_found_out_and_listed_anew(tmp_path: Path) -> None:
    async with faulty(tmp_path, silence=0.2) as yard, yard.watching():
        yard.proxy.freeze()
        yard.put("unheard")
        lost = await yard.until(Lost)
        assert "sent nothing for 0.2 s" in lost.reason
        yard.proxy.thaw()
        listed = await yard.until(Listed)
        assert "unheard" in names(listed)


async def test_an_answer_that_breaks_off_is_no_shorter_list(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard:
        for number in range(30):
            yard.put(f"many-{number}")
        yard.proxy.truncate = 4000
        with pytest.raises(UnreachableError):
            await yard.client.list(INFERENCE_SERVICES, NAMESPACE)
        yard.proxy.truncate = None
        objects, _ = await yard.client.list(INFERENCE_SERVICES, NAMESPACE)
        assert len(objects) == 30


async def test_a_watch_that_breaks_off_in_the_middle_of_an_event_loses_nothing(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        # Far enough for a new watch to begin, and to break off within the event that follows.
        yard.proxy.truncate = 400
        yard.proxy.cut()
        await yard.until(Regained)
        yard.put("cut-off")
        await yard.until(Lost)
        yard.proxy.truncate = None
        assert (await yard.until(Changed)).object.metadata.name == "cut-off"


async def test_what_is_said_twice_is_listed_anew_and_removes_nothing(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        yard.put("first")
        await yard.until(Changed)
        yard.proxy.replay()
        yard.put("second")
        found: set[str] = set()
        while "second" not in found:
            event = await yard.next()
            assert not isinstance(event, Removed)
            found |= names(event) if isinstance(event, Listed) else set()
            found |= {event.object.metadata.name} if isinstance(event, Changed) else set()


async def test_an_older_event_said_again_does_not_undo_what_came_after(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard, yard.watching():
        yard.put("chat", 1)
        await yard.until(Changed)
        older = dict(yard.proxy._last)
        yard.put("chat", 2)
        await yard.until(Changed)
        for writer, piece in older.items():
            writer.write(piece)
        event = await yard.until(Listed)
        (chat,) = [item for item in event.objects if item.metadata.name == "chat"]
        assert chat.spec.predictor.min_replicas == 2


async def test_a_slow_network_delays_and_breaks_nothing(tmp_path: Path) -> None:
    async with faulty(tmp_path) as yard:
        yard.proxy.delay = 0.05
        async with yard.watching():
            yard.put("late")
            assert (await yard.until(Changed)).object.metadata.name == "late"
            assert yard.seen.empty()


# ------------------------------------------------------------ the server refuses


async def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    refused: list[str] = []

    @web.middleware
    async def busy(request: web.Request, handler: Any) -> web.StreamResponse:
        if len(refused) < 3:
            refused.append(request.method)
            status = {"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "slow down"}
            return web.json_response(status, status=429, headers={"Retry-After": "7"})
        answer: web.StreamResponse = await handler(request)
        return answer

    async with faulty(tmp_path, middleware=busy) as yard:
        await yard.client.apply(permit(), [Application(manifest=service("patient"))])
        assert refused == ["PATCH"] * 3
        assert yard.waits == [7.0] * 3
        refused.clear()
        async with yard.watching():
            pass
        refused.clear()
        yard.waits.clear()
        async with yard.watching():
            refused[:] = ["armed"] * 2
            yard.proxy.cut()
            await yard.until(Regained)
            assert 7.0 in yard.waits


async def test_one_namespace_that_is_forbidden_takes_nothing_from_the_others(tmp_path: Path) -> None:
    reads = Rule(("get", "list", "watch"), ("serving.kserve.io",), ("*",))
    users = {"t": DemoUser(name="narrow", rules=(reads,))}

    @web.middleware
    async def only_ours(request: web.Request, handler: Any) -> web.StreamResponse:
        if "/namespaces/secret/" in request.path:
            message = (
                'inferenceservices.serving.kserve.io is forbidden: User "narrow" cannot list resource '
                '"inferenceservices" in API group "serving.kserve.io" in the namespace "secret"'
            )
            return web.json_response(
                {"kind": "Status", "code": 403, "reason": "Forbidden", "message": message}, status=403
            )
        answer: web.StreamResponse = await handler(request)
        return answer

    async with faulty(tmp_path, users=users, user={"token": "t"}, middleware=only_ours) as yard:
        async with aclosing(yard.client.watch(INFERENCE_SERVICES, "secret")) as events:
            lost = await anext(events)
        assert isinstance(lost, Lost)
        assert isinstance(lost.error, AccessDeniedError)
        assert "in namespace secret" in lost.reason
        async with yard.watching():
            yard.put("ours")
            assert (await yard.until(Changed)).object.metadata.name == "ours"


async def test_a_server_that_talks_nonsense_for_a_while_is_told_and_believed_again(tmp_path: Path) -> None:
    nonsense: list[bool] = [False]

    @web.middleware
    async def proxied(request: web.Request, handler: Any) -> web.StreamResponse:
        if nonsense[0]:
            return web.Response(text="<html>sign in to the network</html>", content_type="text/html")
        answer: web.StreamResponse = await handler(request)
        return answer

    async with faulty(tmp_path, middleware=proxied) as yard, yard.watching():
        nonsense[0] = True
        yard.proxy.cut()
        while not isinstance((await yard.until(Lost)).error, MalformedDataError):
            pass
        nonsense[0] = False
        assert names(await yard.until(Listed)) == {"probe"}


# ------------------------------------------------------------ a write cut off


@pytest.mark.parametrize("passed", [0, 30, 200])
async def test_an_apply_whose_answer_is_cut_off_is_told_and_can_be_sent_again(tmp_path: Path, passed: int) -> None:
    async with faulty(tmp_path) as yard:
        yard.proxy.truncate = passed
        with pytest.raises(ModelyardError) as caught:
            await yard.client.apply(permit(), [Application(manifest=service("half"))])
        assert isinstance(caught.value, UnreachableError)
        yard.proxy.truncate = None
        live = await yard.client.find(INFERENCE_SERVICES, NAMESPACE, "half")
        assert live is not None
        (again,) = await yard.client.apply(permit(), [Application(manifest=service("half"))])
        assert json.dumps(again.object["spec"], sort_keys=True) == json.dumps(live["spec"], sort_keys=True)
        assert again.metadata.resource_version == live["metadata"]["resourceVersion"]
