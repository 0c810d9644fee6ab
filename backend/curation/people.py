"""When two names are the same person."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

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
    groups: list[list[str]] = []
    for name in names:
        matching = [group for group in groups if any(same_person(name, known) for known in group)]
        groups = [group for group in groups if group not in matching]
        groups.append([name, *(known for group in matching for known in group)])
    return len(groups)


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
