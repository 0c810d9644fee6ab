"""Lists that a registry gives in pages: names, and what refers to a manifest. Each is read to its end or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from backend.core.errors import LimitExceededError
from backend.registry.headers import media_type
from backend.registry.manifests import LARGEST_MANIFEST, OCI_INDEX, Descriptor, parse_manifest
from backend.registry.session import ACCEPT_JSON, Session, in_proportion
from backend.registry.transport import Answer

LARGEST_PAGE: Final = 8 << 20
_PAGE: Final = 1000
MOST_PAGES: Final = 2000
MOST_NAMES: Final = 500_000
#: Of all names together: they may be of any length.
_MOST_CHARACTERS: Final = 32 << 20
_MOST_REFERRERS: Final = 10_000
#: A list may take this many times what one wait for bytes may.
_LONGEST_LIST: Final = 60
_ACCEPT_INDEX: Final = {"Accept": OCI_INDEX}
#: Answers of registries from before OCI 1.1 to a request for referrers.
_NO_REFERRERS_API: Final = frozenset({400, 404, 405, 406, 501})
#: Those of them that speak of the repository or the manifest, and not of the API.
_NOT_OF_THE_API: Final = ("NAME_UNKNOWN", "MANIFEST_UNKNOWN")


class _Page(msgspec.Struct):
    tags: list[str] | None = None
    repositories: list[str] | None = None


@asynccontextmanager
async def in_time(session: Session, where: str) -> AsyncIterator[None]:
    """Give up a list that takes longer than any should, however steadily its pages come.

    Raises:
        LimitExceededError: it does.
    """
    seconds = session.timeout * _LONGEST_LIST
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise LimitExceededError(
            where, f"the registry's pages do not end within {seconds:g} s", "tell the registry's operator"
        ) from error


async def read_names(session: Session, path: str, *, scope: str, where: str, field: str) -> list[str]:
    """All names of a list of tags or repositories in the registry's order, each once.

    Args:
        path: without a query.
        field: `tags` or `repositories`.

    Raises:
        LimitExceededError: the pages do not end, or hold more than is taken.
    """
    async with in_time(session, where):
        return await _read_names(session, path, scope, where, field)


async def _read_names(session: Session, first: str, scope: str, where: str, field: str) -> list[str]:
    names: dict[str, None] = {}
    characters = 0
    path = f"{first}?n={_PAGE}"
    seen: set[str] = set()
    while True:
        answer = await session.send("GET", path, ACCEPT_JSON, scope=scope, limit=LARGEST_PAGE, where=where)
        if answer.status != 200:
            raise session.failure(answer, where)
        known = len(names)
        take = partial(_take_page, session, answer, where, field, names)
        page = await in_proportion(len(answer.body), take)
        characters += sum(map(len, page))
        seen.add(path)
        following = session.next_path(path, answer, where)
        if following is None and len(page) >= _PAGE and len(names) > known:
            # A full page and no link: there may be more. A registry that ignores `last` gives nothing new then.
            following = f"{first}?n={_PAGE}&last={quote(page[-1], safe='')}"
        if following is None:
            return list(names)
        too_many = len(names) > MOST_NAMES or characters > _MOST_CHARACTERS
        if following in seen or len(seen) >= MOST_PAGES or too_many:
            raise endless(where, len(names), len(seen))
        path = following


def _take_page(session: Session, answer: Answer, where: str, field: str, names: dict[str, None]) -> list[str]:
    read = session.decode(answer, _Page, where)
    page = (read.tags if field == "tags" else read.repositories) or []
    names.update(dict.fromkeys(page))
    return page


async def read_referrers(
    session: Session, path: str, *, artifact_type: str | None, scope: str, where: str
) -> tuple[list[Descriptor] | None, bool]:
    """What refers to a manifest, by the API (distribution-spec 1.1, "Listing Referrers").

    Args:
        path: without a query.
        artifact_type: only these, whether or not the registry filters; None: all.

    Returns:
        what was found, None where the registry does not have the API or the manifest; and whether it has the API.

    Raises:
        LimitExceededError: the pages do not end, or hold more than is taken.
    """
    if artifact_type is not None:
        path = f"{path}?{urlencode({'artifactType': artifact_type})}"
    found: list[Descriptor] = []
    seen: set[str] = set()
    async with in_time(session, where):
        while True:
            answer = await session.send("GET", path, _ACCEPT_INDEX, scope=scope, limit=LARGEST_MANIFEST, where=where)
            if answer.status in _NO_REFERRERS_API and not seen:
                return None, session.problem(answer).startswith(_NOT_OF_THE_API)
            if answer.status != 200:
                raise session.failure(answer, where)
            session.refuse_web_page(answer, where)
            read = partial(parse_manifest, answer.body, media_type(answer.headers.get("content-type")), where)
            page = (await in_proportion(len(answer.body), read)).manifests
            filtered = "artifacttype" in answer.headers.get("oci-filters-applied", "").lower()
            found += page if filtered or artifact_type is None else of_type(page, artifact_type)
            seen.add(path)
            following = session.next_path(path, answer, where)
            if following is None:
                return found, True
            if following in seen or len(seen) >= MOST_PAGES or len(found) > _MOST_REFERRERS:
                raise endless(where, len(found), len(seen))
            path = following


def of_type(descriptors: tuple[Descriptor, ...] | list[Descriptor], artifact_type: str) -> list[Descriptor]:
    """Those of the artifact type."""
    return [descriptor for descriptor in descriptors if descriptor.artifact_type == artifact_type]


def endless(where: str, entries: int, pages: int) -> LimitExceededError:
    """A list that does not end."""
    return LimitExceededError(
        where,
        f"the registry's pages do not end: {entries} entries on {pages} pages so far",
        "tell the registry's operator; nothing of it was taken in",
    )
