"""Rules in a configuration's text: edited in their place, and not a byte of anything else."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import ConflictError, NotFoundError
from backend.library.rule_file import rule_names, rule_text, switched, template, with_rule, without_rule

FILE = """\
# The yard.
[yard]
name = "x"   # a name

# First, with a table of its own.
# Two lines.
[[rule]]
name = "one"
registry = "local"  # here
repositories = [
    "a/*",   # [[rule]] is not one
]
[rule.tags]
versions = ">=1"
# the end of one

# stands alone

[[rule]]
name = "two"
registry = "local"
# About policy.
[policy]
approvals = 2
"""
NEW = '[[rule]]\nname = "new"\nregistry = "local"\n'


def test_a_rule_is_shown_with_its_comments_and_nothing_else() -> None:
    one = rule_text(FILE, "one")
    assert one.startswith("# First, with a table") and one.endswith("# the end of one\n")
    assert rule_text(FILE, "two") == '[[rule]]\nname = "two"\nregistry = "local"\n'
    with pytest.raises(NotFoundError, match="one, two"):
        rule_text(FILE, "three")


def test_a_rule_is_replaced_in_its_place() -> None:
    after = with_rule(FILE, '# Other.\n[[rule]]\nname = "uno"\nregistry = "local"', "one")
    assert rule_names(after) == ["uno", "two"]
    assert after == FILE.replace(rule_text(FILE, "one"), '# Other.\n[[rule]]\nname = "uno"\nregistry = "local"\n')


def test_a_new_rule_stands_behind_the_last() -> None:
    after = with_rule(FILE, NEW, None)
    assert rule_names(after) == ["one", "two", "new"]
    assert after == FILE.replace("# About policy.", f"\n{NEW}\n# About policy.")
    assert with_rule("", NEW, None) == NEW
    assert with_rule("[yard]\nname = 'x'", NEW, None) == f"[yard]\nname = 'x'\n\n{NEW}"


def test_a_rule_is_taken_out_with_its_comments() -> None:
    after = without_rule(FILE, "one")
    assert after == FILE.replace(rule_text(FILE, "one") + "\n", "")
    assert without_rule(f"[yard]\n\n{NEW}", "new") == "[yard]\n"
    with pytest.raises(NotFoundError):
        without_rule(FILE, "three")


def test_what_was_written_comes_back_when_it_is_taken_out() -> None:
    assert without_rule(with_rule(FILE, NEW, None), "new").replace("\n\n# About", "\n# About") == FILE


def test_line_ends_are_kept_as_the_file_has_them() -> None:
    after = with_rule(FILE.replace("\n", "\r\n"), NEW, "two")
    assert after.replace("\r\n", "").count("\n") == 0
    assert rule_names(after) == ["one", "new"]


@pytest.mark.parametrize(
    "text",
    [
        'rule = [{ name = "one", registry = "local" }]\n',
        '[[rule]]\nname = "one"\n[policy]\napprovals = 1\n[rule.tags]\nversions = ">=1"\n',
    ],
)
def test_a_file_whose_lines_do_not_tell_rules_apart_is_left_alone(text: str) -> None:
    tomllib.loads(text)
    for edit in (
        lambda: with_rule(text, NEW, "one"),
        lambda: without_rule(text, "one"),
        lambda: rule_text(text, "one"),
    ):
        with pytest.raises(ConflictError, match="editor"):
            edit()


@pytest.mark.parametrize(
    "rule",
    [
        '# c\n[[rule]]\nname = "r"   # n\nenabled = true # on\nevery = "1m"\n',
        '[[rule]]\nname = "r"\n[rule.tags]\nglob = ["*"]\n',
        '[[rule]]\nname = "r"\n',
    ],
)
def test_switching_changes_nothing_else(rule: str) -> None:
    off = switched(rule, False)
    assert tomllib.loads(off)["rule"][0] == {**tomllib.loads(rule)["rule"][0], "enabled": False}
    for comment in ("# c", "# n", "# on"):
        assert (comment in off) == (comment in rule)
    assert switched(switched(rule, True), False) == switched(off, False)


def test_a_template_is_a_rule_under_a_name_that_is_free() -> None:
    text = template(['we"ird'], ["new-rule"])
    assert tomllib.loads(text)["rule"][0]["name"] == "new-rule-2"
    assert tomllib.loads(text)["rule"][0]["registry"] == 'we"ird'


# ---------------------------------------------------------------- any file

_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
_COMMENTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(lambda text: f"# {text}\n")
_GAPS = st.lists(st.sampled_from(["\n", "\n\n", "  \n"]) | _COMMENTS, max_size=3).map("".join)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A configuration with rules and other tables, and the rules' names."""
    names = draw(st.lists(_NAMES, unique=True, max_size=4))
    parts = []
    for number, name in enumerate(names):
        key = draw(st.sampled_from(["name", '"name"', " name "]))
        more = draw(
            st.sampled_from(["", "newest = 3\n", 'tags = { glob = ["*"] }\n', '[rule.tags]\nglob = ["[[x]]"]\n'])
        )
        parts.append(f"{draw(_GAPS)}{draw(st.sampled_from(['[[rule]]', '[[ rule ]]']))}\n{key}={_quoted(name)}\n{more}")
        if draw(st.booleans()):
            parts.append(
                f"{draw(_GAPS)}[table{number}]\nx = {_quoted(draw(_NAMES))} # y\nlist = [\n  1,\n\n # z\n 2]\n"
            )
    return "".join(parts) + draw(_GAPS), names


@settings(max_examples=50)
@given(_files(), st.data())
def test_other_tables_and_comments_stay_byte_for_byte(made: tuple[str, list[str]], data: st.DataObject) -> None:
    text, names = made
    old = data.draw(st.sampled_from([None, *names]))
    name = data.draw(_NAMES.filter(lambda name: name not in names))
    new = f"# mine\n[[rule]]\nname = {_quoted(name)}\n"
    after = with_rule(text, new, old)
    assert rule_names(after) == ([*names, name] if old is None else [name if one == old else one for one in names])
    if old is None:
        begin = after.index(new)
        before, behind = after[:begin], after[begin + len(new) :]
        assert text in (before + behind, before.removesuffix("\n") + behind, before + behind.removeprefix("\n"),
                        before.removesuffix("\n") + behind.removeprefix("\n"))  # fmt: skip
    else:
        mine = rule_text(text, old)
        assert text.count(mine) > 1 or after == text.replace(mine, new)
    assert rule_text(after, name) in (new, after[after.index(new) :][: len(rule_text(after, name))])


@settings(max_examples=50)
@given(_files())
def test_a_rule_taken_out_takes_nothing_else_along(made: tuple[str, list[str]]) -> None:
    text, names = made
    for name in names:
        mine = rule_text(text, name)
        after = without_rule(text, name)
        assert rule_names(after) == [one for one in names if one != name]
        kept = [line for line in text.replace(mine, "", 1).splitlines() if line.strip()]
        assert text.count(mine) > 1 or [line for line in after.splitlines() if line.strip()] == kept
