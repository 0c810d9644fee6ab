"""Licences: reading what people write, and judging it by lists."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.evidence.licences import all_of, read_licence, refused_names

NAMES = ["MIT", "Apache-2.0", "GPL-3.0-only", "LicenseRef-NVIDIA-Open-Model"]


@pytest.mark.parametrize(
    ("text", "expression", "recognised"),
    [
        ("mit", "MIT", True),
        ("Apache License 2.0", "Apache-2.0", True),
        ("GPL-2.0+", "GPL-2.0-or-later", True),
        ("mit or (apache-2.0 and bsd-3-clause)", "MIT OR (Apache-2.0 AND BSD-3-Clause)", True),
        ("GPL-2.0-only with Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("LicenseRef-NVIDIA-AI-Enterprise", "LicenseRef-NVIDIA-AI-Enterprise", True),
        ("Proprietary", "Proprietary", False),
        ("see LICENSE file (in the image)", "see LICENSE file (in the image)", False),
        ("MIT AND", "MIT AND", False),
        ("MIT/X11", "MIT/X11", False),
    ],
)
def test_what_people_write_is_read_as_an_expression_or_kept_as_a_name(
    text: str, expression: str, recognised: bool
) -> None:
    licence = read_licence(text)
    assert licence is not None
    assert (licence.expression, licence.recognised) == (expression, recognised)


@pytest.mark.parametrize("text", ["", "  ", "NOASSERTION", "none"])
def test_what_claims_nothing_is_no_licence(text: str) -> None:
    assert read_licence(text) is None


@pytest.mark.parametrize(
    ("text", "allow", "deny", "refused"),
    [
        ("MIT", ["MIT"], [], ()),
        ("MIT", ["mit"], [], ()),
        ("MIT OR GPL-3.0-only", ["MIT"], [], ()),
        ("MIT AND GPL-3.0-only", ["MIT"], [], ("GPL-3.0-only",)),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", ["MIT", "Apache-2.0"], [], ()),
        ("LicenseRef-NVIDIA-AI-Enterprise", ["LicenseRef-NVIDIA-*"], [], ()),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"], [], ()),
        ("GPL-2.0-only", ["GPL-2.0-only WITH Classpath-exception-2.0"], [], ("GPL-2.0-only",)),
        ("AGPL-3.0-only", [], ["AGPL-*"], ("AGPL-3.0-only",)),
        ("AGPL-3.0-only OR MIT", [], ["AGPL-*"], ()),
        ("MIT", ["MIT"], ["MIT"], ("MIT",)),
        ("Proprietary", ["Apache-2.0"], [], ("Proprietary",)),
    ],
)
def test_lists_judge_expressions(text: str, allow: list[str], deny: list[str], refused: tuple[str, ...]) -> None:
    licence = read_licence(text)
    assert licence is not None
    assert refused_names(licence.tree, allow, deny) == refused


expressions = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR"]), inner),
    max_leaves=12,
)


@given(expressions, st.sets(st.sampled_from(NAMES)))
def test_allowing_more_never_refuses_more(text: str, allow: set[str]) -> None:
    licence = read_licence(text)
    assert licence is not None and licence.recognised
    fewer = refused_names(licence.tree, sorted(allow) or ["nothing"], [])
    more = refused_names(licence.tree, NAMES, [])
    assert more == ()
    assert set(fewer) <= set(NAMES) - allow


words = st.lists(
    st.sampled_from(["(", ")", "AND", "OR", "WITH", "MIT", "+", "Foo", "GPL-2.0+", "Classpath-exception-2.0"]),
    max_size=9,
)


@given(st.one_of(st.text(max_size=300), words.map(" ".join), words.map("".join)))
@settings(max_examples=400)
@example("(" * 1000)
@example("MIT AND " * 500 + "MIT")
@example("\ud800 AND MIT")
@example("WITH WITH WITH")
@example("MIT WITH")
@example("AND")
@example("()")
def test_any_text_is_read_without_harm(text: str) -> None:
    licence = read_licence(text)
    if licence is not None:
        refused_names(licence.tree, ["MIT"], [])
        again = all_of([licence, licence])
        assert again is not None and again.expression == licence.expression


def test_statements_that_hold_together_need_all_of_them() -> None:
    parts = [read_licence(text) for text in ("MIT OR Apache-2.0", "GPL-3.0-only")]
    together = all_of(part for part in parts if part)
    assert together is not None
    assert together.expression == "GPL-3.0-only AND (MIT OR Apache-2.0)"
    assert refused_names(together.tree, ["MIT"], []) == ("GPL-3.0-only",)
    assert all_of([]) is None
