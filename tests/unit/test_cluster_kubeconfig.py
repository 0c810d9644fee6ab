"""Kubeconfig files: which context is taken, and what is said of those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.cluster.kubeconfig import kubeconfig_paths, read_context
from backend.core.errors import ConfigurationError
from tests.fakes.cluster_server import write_kubeconfig


def test_the_current_context_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://h:6443/", {"prod": {"token": "a"}, "test": {"token": "b"}})
    assert read_context([path], None).name == "prod"
    chosen = read_context([path], "test")
    assert chosen.user == {"token": "b"}
    assert chosen.server == "https://h:6443"
    assert chosen.namespace == "default"


def test_a_missing_context_is_told_with_the_known_ones(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://h", {"prod": {}, "test": {}})
    with pytest.raises(ConfigurationError) as caught:
        read_context([path], "staging")
    assert caught.value.exit_code == 2
    assert "'staging'" in caught.value.why
    assert caught.value.action == "known contexts: prod, test"


def test_no_file_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no kubeconfig at"):
        read_context([tmp_path / "none"], None)


def test_files_of_a_list_merge_and_the_first_wins(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first = write_kubeconfig(tmp_path / "one" / "config", "https://first", {"prod": {"client-key": "keys/me.key"}})
    second = write_kubeconfig(tmp_path / "second", "https://second", {"other": {}, "prod": {"token": "never"}})
    paths = kubeconfig_paths(None, {"KUBECONFIG": os.pathsep.join([str(first), str(tmp_path / "gone"), str(second)])})
    chosen = read_context(paths, None)
    assert chosen.server == "https://first"
    assert chosen.user == {"client-key": str(tmp_path / "one" / "keys" / "me.key")}
    assert chosen.known == ("other", "prod")
    assert read_context(paths, "other").name == "other"


def test_the_usual_place_is_taken_without_a_variable(own_home: Path) -> None:
    assert kubeconfig_paths(None, {}) == (own_home / ".kube" / "config",)
    assert kubeconfig_paths(Path("x"), {"KUBECONFIG": "y"}) == (Path("x"),)


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nclusters: [\n  {name: x\nusers: }\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_context([path], None)
    assert caught.value.line == 4
    assert str(path) in str(caught.value)


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_context([path], None)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("just text", "no table"),
        ("", "no table"),
        ("clusters: 3", "no list"),
        ("clusters: [{cluster: {}}]", "has no name"),
        ("clusters: [{name: a, cluster: [1]}]", "no table"),
        ("contexts: []", "no current context"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: b}}]", "not in the kubeconfig"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\nclusters: [{name: b, cluster: {}}]",
            "has no server",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: u}}]\n"
            "clusters: [{name: b, cluster: {server: 'https://x'}}]",
            "names user 'u'",
        ),
    ],
)
def test_malformed_tables_are_told(tmp_path: Path, document: str, words: str) -> None:
    path = tmp_path / "config"
    path.write_text(document, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_context([path], None)
    assert words in str(caught.value)


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "clusters",
                    "users",
                    "contexts",
                    "name",
                    "cluster",
                    "user",
                    "context",
                    "server",
                    "current-context",
                    "exec",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREES)
def test_whatever_a_file_holds_it_is_read_or_told(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        read_context([path], "a")
    except ConfigurationError as error:
        assert error.exit_code == 2
