"""Who may talk to the demo's cluster, and what they may do there: bearer tokens and a small RBAC."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from backend.demo.resources import KSERVE_GROUP

_EVERYTHING = "*"
_READ = ("get", "list", "watch")


class Rule(NamedTuple):
    """What a role allows: each of the verbs on each of the resources of each of the groups; `*` is all of them.

    Bound in `namespaces` alone it covers no request for all namespaces, and no kind that is in none.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    namespaces: tuple[str, ...] = (_EVERYTHING,)

    def allows(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Whether the rule covers the request. `resource` is `plural` or `plural/subresource`."""
        asked_for = (
            (self.verbs, verb),
            (self.groups, group),
            (self.resources, resource),
            (self.namespaces, namespace),
        )
        return all(_EVERYTHING in allowed or asked in allowed for allowed, asked in asked_for)


@dataclass(frozen=True, kw_only=True)
class DemoUser:
    """An account of the cluster.

    Attributes:
        name: the user name.
        groups: its groups, without those that the server adds.
        rules: what its roles allow.
        expired: its token is refused.
    """

    name: str
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    expired: bool = False

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The rules that every account has, and its own."""
        return (*_OF_ALL, *self.rules)

    def may(self, verb: str, group: str, resource: str, namespace: str = "") -> bool:
        """Whether RBAC allows it; an empty namespace stands for all of them."""
        return any(rule.allows(verb, group, resource, namespace) for rule in self.all_rules)

    def granted_by(self, verb: str, group: str, resource: str, namespace: str = "") -> str:
        """Why it is allowed, in RBAC's words; empty when it is not."""
        if any(rule.allows(verb, group, resource, namespace) for rule in self.rules):
            role = f"modelyard-{self.name}"
            subject = f'Group "{self.groups[0]}"' if self.groups else f'User "{self.name}"'
            return f'RBAC: allowed by ClusterRoleBinding "{role}" of ClusterRole "{role}" to {subject}'
        if any(rule.allows(verb, group, resource, namespace) for rule in _OF_ALL):
            role = "system:basic-user"
            group_name = "system:authenticated"
            return f'RBAC: allowed by ClusterRoleBinding "{role}" of ClusterRole "{role}" to Group "{group_name}"'
        return ""


_OF_ALL = (
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
)
_OPERATOR = (
    Rule((*_READ, "create", "patch", "update"), (KSERVE_GROUP,), (_EVERYTHING,)),
    Rule(_READ, ("",), ("pods", "nodes", "events", "services")),
)
_SURROUNDINGS = (
    Rule(_READ, ("",), ("namespaces", "resourcequotas", "configmaps", "serviceaccounts", "persistentvolumeclaims")),
    Rule(_READ, ("apps",), ("deployments", "replicasets")),
    Rule(_READ, ("autoscaling",), ("horizontalpodautoscalers",)),
    Rule(_READ, ("policy",), ("poddisruptionbudgets",)),
    Rule(_READ, ("scheduling.k8s.io",), ("priorityclasses",)),
    Rule(_READ, ("gateway.networking.k8s.io",), ("httproutes",)),
    Rule(_READ, ("serving.knative.dev",), ("revisions",)),
    Rule(_READ, ("apiextensions.k8s.io",), ("customresourcedefinitions",)),
    Rule(_READ, ("resource.k8s.io",), ("resourceslices", "resourceclaims")),
)
_VIEWER = (
    Rule(_READ, (KSERVE_GROUP,), (_EVERYTHING,)),
    Rule(_READ, ("",), ("pods", "nodes", "events", "services")),
)

#: Who talks to the server without a token: nobody, who may see that there is a server.
ANONYMOUS = DemoUser(name="system:anonymous", groups=("system:unauthenticated",))

_ACCOUNTS = (
    DemoUser(name="admin", groups=("system:masters",), rules=(Rule(("*",), ("*",), ("*",)),)),
    DemoUser(name="operator", groups=("operators",), rules=_OPERATOR),
    DemoUser(name="viewer", groups=("viewers",), rules=_VIEWER),
    DemoUser(
        name="robin",
        groups=("ml-platform",),
        rules=(
            *_OPERATOR,
            Rule(("delete",), (KSERVE_GROUP,), (_EVERYTHING,)),
            Rule(("get", "create"), ("",), ("pods/proxy",)),
            Rule(("get",), ("",), ("pods/log", "secrets")),
            *_SURROUNDINGS,
        ),
    ),
    DemoUser(name="mira", groups=("ml-approvers",), rules=(*_VIEWER, *_SURROUNDINGS)),
    DemoUser(name="expired", expired=True),
)


def default_users(seed: int = 0) -> dict[str, DemoUser]:
    """The demo's accounts by bearer token. The tokens follow from the seed.

    `admin` may do all; `operator` reads and applies in `serving.kserve.io`; `viewer` reads there; `robin` operates the
    demo: deletes too, reads logs and metrics and what surrounds a service, sends requests to pods, sees which secrets
    there are; `mira` reads what surrounds a service, without logs, metrics and secrets; the token of `expired` is
    refused.
    """
    source = random.Random(f"tokens {seed}")  # noqa: S311 - the demo's accounts hold nothing
    return {f"demo-{user.name}-{source.getrandbits(64):016x}": user for user in _ACCOUNTS}


def tokens_by_name(users: Mapping[str, DemoUser]) -> dict[str, str]:
    """The bearer tokens by user name."""
    return {user.name: token for token, user in users.items()}
