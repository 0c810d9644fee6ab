"""Serving runtimes: what there is and who uses it, and new ones made of templates by a plan and an apply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.cluster.resources import CLUSTER_SERVING_RUNTIMES, INFERENCE_SERVICES, SERVING_RUNTIMES
from backend.core.diffs import difference
from backend.core.errors import AccessDeniedError, NotFoundError, PolicyError, UsageError
from backend.core.references import ImageReference, parse_reference
from backend.core.views import (
    AppliedView,
    CheckView,
    DiffLineView,
    PlanView,
    RuntimeDetailView,
    RuntimeView,
    TemplateView,
)
from backend.evidence.facts import ImageFacts
from backend.flows.applying import Applier, Recipe
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.kserve import explained
from backend.flows.lookup import Lookup
from backend.serving.digests import digest_of
from backend.serving.display import display_yaml, wanted_yaml
from backend.serving.plan import Subject
from backend.serving.planner import Wanted
from backend.serving.runtime_catalogue import BUILT_IN, Catalogue, catalogue
from backend.serving.runtime_templates import (
    RuntimeRequest,
    RuntimeTemplate,
    runtime_of,
    same_content,
    template_view,
)
from backend.serving.runtimes import runtime_notes, runtime_views
from backend.serving.yaml_lines import dump, read_document

_LOG = logging.getLogger(__name__)
_CLUSTER: Final = "(cluster)"


class RuntimesFlow:
    """Serving runtimes of the yard's clusters; where a context is asked for, an empty one is the primary."""

    def __init__(self, foundation: Foundation, approvals: Approvals, lookup: Lookup, applier: Applier) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._lookup = lookup
        self._applier = applier

    # ------------------------------------------------------------ looking

    async def runtimes(self, *, context: str = "") -> list[RuntimeView]:
        """ServingRuntimes and ClusterServingRuntimes with what they serve, and who uses them.

        Raises:
            NotFoundError: KServe is not installed.
        """
        link = self._foundation.clusters.link(context)
        client = await link.client()
        await self._approvals.refresh()
        found: list[ServingRuntime] = []
        try:
            found += (await client.list(CLUSTER_SERVING_RUNTIMES))[0]
        except NotFoundError as error:
            raise await explained(client, error) from error
        except AccessDeniedError:
            _LOG.info("the cluster's own runtimes may not be listed: those of namespaces are")
        services: list[InferenceService] = []
        for namespace in link.namespaces or (None,):
            found += (await client.list(SERVING_RUNTIMES, namespace))[0]
            services += (await client.list(INFERENCE_SERVICES, namespace))[0]
        return list(runtime_views(client.context, found, services, self._approvals.judge))

    async def runtime(self, name: str, namespace: str | None = None, *, context: str = "") -> RuntimeDetailView:
        """A runtime with its manifest.

        Args:
            namespace: empty: the cluster's; None: whichever there is.

        Raises:
            NotFoundError: there is none. UsageError: several namespaces have one.
        """
        view = _named(await self.runtimes(context=context), name, namespace)
        raw = await self._raw(view, context)
        return RuntimeDetailView(runtime=view, manifest=display_yaml(raw), notes=runtime_notes(view))

    async def difference(self, one: str, other: str, *, context: str = "") -> tuple[DiffLineView, ...]:
        """Every line of two runtimes, each `NAME`, `NAMESPACE/NAME` or `(cluster)/NAME`, and what differs."""
        listed = await self.runtimes(context=context)
        views = [_named(listed, *_split(each)) for each in (one, other)]
        first, second = [await self._raw(view, context) for view in views]
        return difference(wanted_yaml(_comparable(first)), wanted_yaml(_comparable(second)))

    async def catalogue(self) -> tuple[list[TemplateView], list[UsageError]]:
        """The templates by name, and what is wrong with files of the configuration folder."""
        known = await self._catalogue()
        views = [template_view(template, source) for _, (template, source) in sorted(known.templates.items())]
        return views, list(known.problems)

    async def check(self) -> list[CheckView]:
        """For `doctor`: whether the templates of the configuration folder can be read; nothing where there are none."""
        known = await self._catalogue()
        own = sum(source != BUILT_IN for _, source in known.templates.values())
        checks = [
            CheckView(name="runtime template", state="failed", detail=f"{each.what}: {each.why}", action=each.action)
            for each in known.problems
        ]
        if own:
            checks.append(CheckView(name="runtime templates", state="ok", detail=f"{own} of your own can be read"))
        return checks

    # ------------------------------------------------------------ installing

    async def plan(
        self,
        template: str,
        image: str,
        namespace: str,
        *,
        name: str = "",
        secrets: Mapping[str, str] | None = None,
        pull_secrets: Sequence[str] = (),
        claims: Mapping[str, str] | None = None,
        context: str = "",
    ) -> PlanView:
        """What installing a runtime would change. Changes nothing.

        Args:
            image: of the library. name: instead of the one that is made.
            secrets: by variable, `NAME/KEY` of the secret that holds it. claims: by volume, the claim that holds it.

        Raises:
            NotFoundError: there is no such template or image. UsageError: what is given does not fit the template.
        """
        made = (await self._catalogue()).find(template)
        facts = await self._lookup.facts(image)
        request = RuntimeRequest(
            template=template,
            image=facts.reference,
            tag=_tag(image, facts),
            namespace=namespace,
            name=name,
            secrets={variable: _secret(variable, value) for variable, value in (secrets or {}).items()},
            pull_secrets=tuple(pull_secrets),
            claims=dict(claims or {}),
        )
        _require_fit(made, request)
        return await self._applier.plan(self._recipe(made, request, facts, context))

    async def apply(self, plan: PlanView) -> AppliedView:
        """Install what a plan showed, if everything that it saw is still so.

        Raises:
            RefusedError: of its kind. ConflictError: something changed since; plan again.
        """
        recipe = self._applier.recipe(plan)
        if recipe is None:
            value, _ = await asyncio.to_thread(read_document, plan.deployment, "plan")
            try:
                request = msgspec.convert(value, RuntimeRequest)
            except msgspec.ValidationError as error:
                raise UsageError("plan", f"it is of no runtime: {error}", "make a new plan") from error
            made = (await self._catalogue()).find(request.template)
            facts = await self._lookup.facts(request.image)
            recipe = self._recipe(made, request, facts, plan.context)
        return await self._applier.apply(plan, recipe)

    # ------------------------------------------------------------ inside

    def _recipe(self, template: RuntimeTemplate, request: RuntimeRequest, facts: ImageFacts, context: str) -> Recipe:
        manifest = runtime_of(template, request)
        name = str(manifest["metadata"]["name"])
        digest = frozenset({digest_of(request.image)})

        async def wanted(client: ClusterClient) -> Wanted:
            await self._approvals.refresh()
            use = self._approvals.use_in(client.context, request.namespace, runtime=template.engine)
            approval = self._approvals.judge(digest, use)
            refusals = [] if approval.approved else [f"the image is not approved: {approval.note}"]
            refusals += await self._taken(client, manifest)
            warnings = [*_misfits(template, facts), *template.notes]
            if approval.approved and approval.note:
                warnings.append(approval.note)
            warnings += await self._shadows(client, name)
            return Wanted(
                subject=Subject(
                    kind="runtime",
                    namespace=request.namespace,
                    name=name,
                    image=request.image,
                    source=dump(msgspec.to_builtins(request)),
                ),
                manifests=(manifest,),
                refusals=tuple(refusals),
                warnings=tuple(warnings),
                decisions=self._approvals.decisions(digest, use) if approval.approved else (),
            )

        async def policy(client: ClusterClient) -> None:
            await self._approvals.refresh()
            use = self._approvals.use_in(client.context, request.namespace, runtime=template.engine)
            approval = self._approvals.judge(digest, use)
            if not approval.approved:
                raise PolicyError(
                    f"installation of runtime {request.namespace}/{name}",
                    f"the image is not approved: {approval.note}",
                    "have it approved first",
                )

        return Recipe(
            context=context,
            mutation="runtime.apply",
            wanted=wanted,
            policy=policy,
            note=f"{template.name} {template.version}",
            detail={"template": template.name, "version": template.version},
        )

    async def _taken(self, client: ClusterClient, manifest: Mapping[str, Any]) -> list[str]:
        """Why a runtime may not be applied under its name: one of that name with another content is there."""
        metadata = manifest["metadata"]
        live = await client.find(SERVING_RUNTIMES, metadata["namespace"], metadata["name"])
        if live is None or same_content(live, manifest):
            return []
        users = [
            service.metadata.name
            for service in (await client.list(INFERENCE_SERVICES, metadata["namespace"]))[0]
            if service.spec.predictor.model is not None and service.spec.predictor.model.runtime == metadata["name"]
        ]
        rolled = f", and {', '.join(sorted(users))} would start anew" if users else ""
        return [
            f"a runtime {metadata['name']} with another content is there, and runtimes are not changed{rolled}: install"
            " this one under another name"
        ]

    async def _shadows(self, client: ClusterClient, name: str) -> list[str]:
        try:
            clusters = await client.find(CLUSTER_SERVING_RUNTIMES, None, name)
        except (AccessDeniedError, NotFoundError):
            return []
        return [f"in this namespace it hides the cluster's runtime {name}"] if clusters is not None else []

    async def _raw(self, view: RuntimeView, context: str) -> dict[str, Any]:
        client = await self._foundation.clusters.client(context)
        if view.namespace:
            return await client.get(SERVING_RUNTIMES, view.namespace, view.name)
        return await client.get(CLUSTER_SERVING_RUNTIMES, None, view.name)

    async def _catalogue(self) -> Catalogue:
        return await asyncio.to_thread(catalogue, self._foundation.configuration.folder)


def _named(listed: Sequence[RuntimeView], name: str, namespace: str | None) -> RuntimeView:
    found = [one for one in listed if one.name == name and namespace in (None, one.namespace)]
    if not found:
        raise NotFoundError(f"runtime {name}", "there is none of that name", "see modelyard runtimes list")
    if len(found) > 1:
        where = ", ".join(one.namespace or _CLUSTER for one in found)
        raise UsageError(f"runtime {name}", f"there are several: {where}", "give -n NAMESPACE, or NAMESPACE/NAME")
    return found[0]


def _split(text: str) -> tuple[str, str | None]:
    namespace, slash, name = text.rpartition("/")
    if not slash:
        return name, None
    return name, "" if namespace == _CLUSTER else namespace


def _comparable(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without the name and the place, in which any two differ."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in {"name", "namespace"}}
    return {**manifest, "metadata": metadata}


def _tag(typed: str, facts: ImageFacts) -> str:
    """The tag that a person named, or the newest that names the image now."""
    try:
        reference = parse_reference(typed)
    except UsageError:
        reference = None
    named = reference.tag if isinstance(reference, ImageReference) else None
    return named or (facts.tags[0] if facts.tags else "")


def _secret(variable: str, value: str) -> tuple[str, str]:
    name, slash, key = value.partition("/")
    if not slash or not name or not key:
        raise UsageError(f"secret of {variable}", f"{value!r} names no key", f"write {variable}=SECRET/KEY")
    return name, key


def _require_fit(template: RuntimeTemplate, request: RuntimeRequest) -> None:
    """
    Raises:
        UsageError: secrets or claims are given that the template has no place for.
    """
    variables = {one.name for one in template.env if one.secret_key_ref is not None}
    volumes = {mount.name for mount in template.mounts}
    for what, given, known in (("secret", request.secrets, variables), ("claim", request.claims, volumes)):
        for name in given:
            if name not in known:
                told = ", ".join(sorted(known)) or "none"
                raise UsageError(f"{what} {name}", f"template {template.name} has {told}", "leave it out, or name one")


def _misfits(template: RuntimeTemplate, facts: ImageFacts) -> list[str]:
    """What speaks against the image in this template, a sentence each."""
    told = []
    if template.images and not any(
        fnmatchcase(name, pattern) for pattern in template.images for name in (facts.repository, f"/{facts.repository}")
    ):
        told.append(f"the template is meant for {', '.join(template.images)}, and this is {facts.repository}")
    if template.types and facts.type not in {"", "generic", *template.types}:
        told.append(f"the template serves {', '.join(template.types)}, and the image is of type {facts.type}")
    return told
