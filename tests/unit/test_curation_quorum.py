"""N of M: different people, of the groups and roles that policy asks for, each for one place."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.curation.people import NOBODY_NAMED, People, count_people
from backend.curation.quorum import Approver, Requirement, is_met, missing, needed_people

SECURITY = Requirement(kind="group", name="security")
PLATFORM = Requirement(kind="group", name="platform")
CURATOR = Requirement(kind="role", name="curator")


def approver(name: str, *groups: str, roles: tuple[str, ...] = (), stands_for: int = 0) -> Approver:
    return Approver(name=name, groups=groups, roles=roles, stands_for=stands_for)


MIRA, ROBIN = approver("mira", "security"), approver("robin", "platform")
BOTH = approver("kim", "security", "platform")


@pytest.mark.parametrize(
    ("approvers", "told"),
    [
        ([], ("one of security", "one of platform")),
        ([MIRA], ("one of platform",)),
        ([MIRA, ROBIN], ()),
        ([BOTH], ("one of platform",)),
        ([BOTH, MIRA], ()),
        ([BOTH, ROBIN], ()),
        ([MIRA, approver("sam", "security")], ("one of platform",)),
        ([MIRA, approver("MIRA@corp", "platform")], ("one of platform",)),
        ([approver("modelyard-worker", "security", stands_for=2)], ("one of security", "one of platform")),
    ],
)
def test_one_of_security_and_one_of_platform_is_two_people(approvers: list[Approver], told: tuple[str, ...]) -> None:
    assert missing(approvers, 1, [SECURITY, PLATFORM]) == told


def test_what_is_missing_is_told_with_how_many_others() -> None:
    assert missing([], 1, []) == ("one approver",)
    assert missing([MIRA], 3, []) == ("2 more approvers",)
    assert missing([], 3, [SECURITY]) == ("one of security", "2 more approvers")
    assert missing([ROBIN], 2, [Requirement(kind="group", name="security", count=2)]) == ("2 of security",)
    assert missing([MIRA], 1, [CURATOR]) == ("one with the role curator",)
    assert is_met([approver("mira", roles=("curator",))], 1, [CURATOR])
    assert needed_people(1, [SECURITY, PLATFORM]) == 2 and needed_people(3, [SECURITY]) == 3


def test_an_automatic_approval_stands_for_so_many_people_and_two_of_them_for_no_more() -> None:
    worker = approver("modelyard-worker", stands_for=1)
    assert missing([worker], 2, []) == ("one approver",)
    assert missing([worker, worker], 2, []) == ("one approver",)
    assert is_met([worker, MIRA], 2, [SECURITY])
    assert not is_met([worker, ROBIN], 2, [SECURITY])


def test_people_are_known_by_all_their_names() -> None:
    people = People({"mira": ("u1234", "m.kovacs@corp.example"), "robin": ("u77",)})
    assert people.same("U1234", "oidc:mira") and people.same("m.kovacs", "u1234")
    assert not people.same("u77", "u1234") and people.person("sam") == "sam"
    assert not NOBODY_NAMED.same("u1234", "mira")


names = st.sampled_from(["mira", "MIRA", "robin", "robin@a.example", "kim@a.example", "kim@b.example", "sam", "lee"])
groups = st.sets(st.sampled_from(["security", "platform", "legal"]), max_size=3)
approvers = st.lists(
    st.builds(lambda name, held: Approver(name=name, groups=tuple(sorted(held))), names, groups), max_size=5
)
requirements = st.lists(
    st.builds(
        lambda name, count: Requirement(kind="group", name=name, count=count),
        st.sampled_from(["security", "platform", "legal"]),
        st.integers(1, 2),
    ),
    max_size=2,
)


def can_be_placed(people: list[frozenset[str]], wanted: list[Requirement]) -> bool:
    """Whether some order of the people fills every place; by trying them all."""
    places = [each.name for each in wanted for _ in range(each.count)]
    if len(people) < len(places):
        return False
    return any(all(place in held for place, held in zip(places, order, strict=False)) for order in permutations(people))


@given(approvers, requirements, st.integers(1, 4))
def test_enough_is_what_trying_every_placement_finds(
    made: list[Approver], wanted: list[Requirement], approvals: int
) -> None:
    people: list[tuple[list[str], set[str]]] = []
    for each in made:
        own = [known for known in people if count_people([*known[0], each.name]) < count_people(known[0]) + 1]
        people = [known for known in people if known not in own]
        people.append(
            ([each.name, *(name for known in own for name in known[0])], set(each.groups).union(*(k[1] for k in own)))
        )
    expected = len(people) >= approvals and can_be_placed([frozenset(held) for _, held in people], wanted)
    assert is_met(made, approvals, wanted) is expected
    assert bool(missing(made, approvals, wanted)) is not expected


@given(approvers, approvers, requirements, st.integers(1, 4))
def test_another_approval_never_takes_one_away_and_the_order_does_not_matter(
    made: list[Approver], more: list[Approver], wanted: list[Requirement], approvals: int
) -> None:
    assert is_met(made, approvals, wanted) is is_met(list(reversed(made)), approvals, wanted)
    assert is_met(made, approvals, wanted) is is_met([*made, *made], approvals, wanted)
    # Somebody who ties two names together makes one person of what counted as two; nobody else takes anything away.
    if is_met(made, approvals, wanted) and not {"robin"} & {each.name for each in more}:
        assert is_met([*made, *more], approvals, wanted)
