"""When two names are the same person."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_UNNAMED_ISSUER = ""


def same_person(one: str, other: str) -> bool:
    """Whether two names, of whichever identity sources, have to be taken for one person.

    Letter case, Unicode form and the issuer's prefix (`oidc:mira`, `CORP\\mira`, `mira@corp.example`) do not make two
    people of one. A name without a domain is the same as that name with any; names in two domains are two people.
    Erring towards one person costs an approval; erring the other way would let one person approve twice.
    """
    (name, domain), (other_name, other_domain) = _parts(one), _parts(other)
    return name == other_name and (domain == other_domain or _UNNAMED_ISSUER in {domain, other_domain})


def count_people(names: Iterable[str]) -> int:
    """How many people the names are at least: names that a third one ties together count once."""
    return len(grouped(list(names)))


def grouped(names: Sequence[str]) -> list[list[int]]:
    """Positions of the names of one person, for each person, in the order of their first name."""
    groups: list[list[int]] = []
    for position, name in enumerate(names):
        matching = [group for group in groups if any(same_person(name, names[known]) for known in group)]
        groups = [group for group in groups if group not in matching]
        groups.append(sorted([position, *(known for group in matching for known in group)]))
    return sorted(groups)


class People:
    """The people whom policy names, with all their names.

    Args:
        known: what a person is called, and their other names: their login on other machines, their name in a cluster.
    """

    def __init__(self, known: Mapping[str, Sequence[str]]) -> None:
        self._names = {name: (name, *also) for name, also in known.items()}

    def person(self, name: str) -> str:
        """What the person of that name is called; the name itself where policy names no such person."""
        for called, names in self._names.items():
            if any(same_person(name, each) for each in names):
                return called
        return name

    def same(self, one: str, other: str) -> bool:
        """Whether two names have to be taken for one person."""
        return same_person(one, other) or same_person(self.person(one), self.person(other))


NOBODY_NAMED: Final = People({})


def _parts(name: str) -> tuple[str, str]:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
    if not folded.startswith("system:"):
        # Kubernetes joins the issuer's prefix to OIDC names with ":" or, for issuers that are addresses, with "#".
        folded = folded.rpartition("#")[2].rpartition(":")[2] or folded
    domain, backslash, user = folded.partition("\\")
    if backslash and user:
        return user, domain
    user, _, domain = folded.rpartition("@")
    return (user, domain) if user else (folded, _UNNAMED_ISSUER)
