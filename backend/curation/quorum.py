"""Whether enough different people approved, and of which groups and roles some are still missing. Pure.

A person counts once, and for one requirement: "one of security and one of platform" is two people, also where
somebody belongs to both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from backend.curation.people import grouped


class Requirement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """That some of those who approve belong to a group, or hold a role.

    Attributes:
        kind: group or role.
        name: as the identity source or the role's table gives it.
    """

    kind: str
    name: str
    count: int = 1

    def __str__(self) -> str:
        """Such as `one of security`."""
        number = "one" if self.count == 1 else str(self.count)
        return f"{number} of {self.name}" if self.kind == "group" else f"{number} with the role {self.name}"


class Approver(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Somebody who approved, with what they belonged to then.

    Attributes:
        stands_for: of an automatic approval, for how many people it stands; 0: this is a person.
    """

    name: str
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    stands_for: int = 0

    def meets(self, requirement: Requirement) -> bool:
        """Whether the person may count for it."""
        if self.stands_for:
            return False
        return requirement.name in (self.groups if requirement.kind == "group" else self.roles)


def needed_people(approvals: int, requirements: Sequence[Requirement]) -> int:
    """How many different people have to approve at least."""
    return max(approvals, sum(each.count for each in requirements)) if requirements else approvals


def is_met(approvers: Sequence[Approver], approvals: int, requirements: Sequence[Requirement]) -> bool:
    """Whether these suffice."""
    return not missing(approvers, approvals, requirements)


def missing(approvers: Sequence[Approver], approvals: int, requirements: Sequence[Requirement]) -> tuple[str, ...]:
    """What is still asked for, a clause each, such as `one of security`; empty when enough approved.

    Args:
        approvers: in the order in which they approved; names of one person are joined here.
        approvals: how many people policy asks for in all.
        requirements: of which groups and roles some of them have to be.
    """
    people = _people(approvers)
    open_slots = _unfilled(people, requirements)
    told = [
        str(msgspec.structs.replace(requirement, count=count))
        for requirement, count in zip(requirements, open_slots, strict=True)
        if count
    ]
    counted = len(people) + max((each.stands_for for each in approvers), default=0)
    others = needed_people(approvals, requirements) - counted - sum(open_slots)
    if others > 0:
        more = "more " if people or told else ""
        told.append(f"one {more}approver" if others == 1 else f"{others} {more}approvers")
    return tuple(told)


def _people(approvers: Iterable[Approver]) -> list[Approver]:
    """Different people, each with everything that they belonged to when they approved."""
    humans = [each for each in approvers if not each.stands_for]
    if len(humans) < 2:
        return humans
    people = []
    for group in grouped([each.name for each in humans]):
        own = [humans[position] for position in group]
        people.append(
            Approver(
                name=own[0].name,
                groups=tuple(dict.fromkeys(name for each in own for name in each.groups)),
                roles=tuple(dict.fromkeys(name for each in own for name in each.roles)),
            )
        )
    return people


def _unfilled(people: Sequence[Approver], requirements: Sequence[Requirement]) -> list[int]:
    """How many places of each requirement nobody is left for, when people are placed as well as can be.

    A largest matching of people to places, found by augmenting paths.
    """
    places = [position for position, requirement in enumerate(requirements) for _ in range(requirement.count)]
    taken_by: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for place, position in enumerate(places):
            if place in tried or not people[person].meets(requirements[position]):
                continue
            tried.add(place)
            if place not in taken_by or seat(taken_by[place], tried):
                taken_by[place] = person
                return True
        return False

    for person in range(len(people)):
        seat(person, set())
    open_slots = [requirement.count for requirement in requirements]
    for place in taken_by:
        open_slots[places[place]] -= 1
    return open_slots
