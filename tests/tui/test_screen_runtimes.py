"""Serving runtimes on the screen: listed, opened, compared, and installed by a plan."""

from __future__ import annotations

from backend.core.errors import UnreachableError
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.document import plain
from tui.panes.runtimes.install import fitting
from tui.panes.runtimes.view_model import facts, ordered, tally


async def test_runtimes_are_listed_and_opened_from_the_deployments() -> None:
    async with desk() as table:
        await table.press("3", "u")
        await table.sees("RUNTIMES", "(cluster)/nim-1.8", "vllm-chat-0-27-1-5f3a2b", "1 unapproved", "unapproved")
        await table.press("G", "enter")
        await table.sees("RUNTIME (cluster)/nim-1.8", "editing it starts the pods of the 3 services", "llm-dev/c")
        assert table.yard.called("runtime") == [("nim-1.8", "")]
        await table.press("y")
        await table.sees("MANIFEST (cluster)/nim-1.8", "kind: ServingRuntime")


async def test_two_runtimes_are_compared() -> None:
    async with desk() as table:
        await table.press("3", "u")
        await table.sees("vllm-chat-0-27-1-5f3a2b")
        await table.press("v")
        await table.sees("Compare vllm-chat-0-27-1-5f3a2b with", "nim-1.8")
        await table.press("enter")
        await table.sees("RUNTIMES COMPARED", "+1 -1")
        assert table.yard.called("difference") == [("llm-prod/vllm-chat-0-27-1-5f3a2b", "(cluster)/nim-1.8")]
        await table.press("q")
        await table.sees("2 RUNTIMES" if "2 RUNTIMES" in table.text() else "RUNTIMES")


async def test_a_runtime_is_installed_by_template_image_and_plan() -> None:
    async with desk(size=(100, 40)) as table:
        await table.press("3", "u")
        await table.sees("vllm-chat-0-27-1-5f3a2b")
        await table.press("D")
        await table.sees("Install a runtime", "vLLM, chat and completion", "NVIDIA NIM", "unknown key 'imag'")
        await table.press("enter")
        await table.sees("Install vllm-chat", "Nothing is installed yet", "Namespace")
        await table.press("tab", "tab", "enter")
        await table.sees("INSTALL llm-prod/vllm-chat-1-abcdef")
        ((template, _, namespace, name),) = table.yard.called("runtime_plan")
        assert (template, namespace, name) == ("vllm-chat", "llm-prod", "")
        await table.press("D")
        await table.sees("Install llm-prod/vllm-chat-1-abcdef?")
        await table.type("vllm-chat-1-abcdef")
        await table.press("enter")
        await table.until(lambda: table.yard.called("apply"))
        await table.sees("RUNTIMES", "services name it vllm-chat-1-abcdef")


async def test_runtimes_that_cannot_be_read_say_why() -> None:
    error = UnreachableError("runtimes", "the API server does not answer", "look at the network")
    async with desk(FakeYard(errors={"runtimes": error})) as table:
        await table.press("3", "u")
        await table.sees("the API server does not answer", "look at the network")


async def test_without_runtimes_it_says_how_to_make_one() -> None:
    yard = FakeYard()
    yard.runtimes.views = []
    async with desk(yard) as table:
        await table.press("3", "u")
        await table.sees("No serving runtime", "makes one of a template")


def test_what_needs_a_look_stands_first() -> None:
    runtimes = data.runtimes()
    assert [one.name for one in ordered(runtimes)] == ["vllm-chat-0-27-1-5f3a2b", "nim-1.8"]
    assert plain(tally(runtimes)) == "1 unapproved  1 unused"
    told = "\n".join(plain(line) for section in facts(runtimes[1], ("told",)) for line in section.lines)
    for words in ("revoked", "no service names it", "! told", "vllm-chat 1"):
        assert words in told


def test_images_that_fit_the_template_are_offered_first() -> None:
    template = data.templates()[0]
    images = [
        ("ngc/nim/llama:1", "nim/llama", "chat"),
        ("hub/vllm/vllm-openai:1", "vllm/vllm-openai", "generic"),
        ("hub/vllm/vllm-chat:1", "vllm/vllm-chat", "chat"),
    ]
    assert fitting(template, images) == ["hub/vllm/vllm-chat:1", "hub/vllm/vllm-openai:1", "ngc/nim/llama:1"]
