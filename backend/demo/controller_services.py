"""KServe's controller and Kubernetes' Deployment controller: from InferenceServices to pods, and their statuses."""

from __future__ import annotations

from dataclasses import replace

from backend.demo.controller_kubelet import Kubelet
from backend.demo.controller_revisions import REVISION_LABEL, TAG_ROUTING, Revisions, revision_name, revision_object
from backend.demo.controller_workload import Workload
from backend.demo.controller_world import Subject, World
from backend.demo.objects import Object
from backend.demo.resources import (
    CLUSTER_SERVING_RUNTIMES,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    REPLICA_SETS,
    REVISIONS,
    SERVICES,
    SERVING_RUNTIMES,
    Resource,
)
from backend.demo.workloads_objects import deployment, replica_set, service
from backend.demo.workloads_pods import Pod
from backend.demo.workloads_rollout import limits, next_step
from backend.demo.workloads_routes import autoscaler, service_routes
from backend.demo.workloads_status import (
    INGRESS_DOMAIN,
    PROGRESS_DEADLINE,
    Facts,
    Named,
    Rollout,
    deployment_status,
    invalid_status,
    service_status,
    stopped_status,
)
from backend.demo.workloads_template import (
    AUTOSCALER,
    Template,
    TemplateError,
    is_knative,
    is_stopped,
    make_template,
    short_hash,
)

_KSERVE = "v1beta1Controllers"


class ServiceController:
    """Brings the cluster to what the InferenceServices ask for.

    Args:
        world: the shared state.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._workloads: dict[tuple[str, str], Workload] = {}
        self._by_pod: dict[tuple[str, str], Workload] = {}
        self.kubelet: Kubelet | None = None

    def reconcile(self, key: tuple[str, str]) -> None:
        """Bring one service, by namespace and name, to what its object asks for now."""
        obj = self._world.store.get(INFERENCE_SERVICES, *key)
        workload = self._workloads.get(key)
        if workload is not None and (obj is None or obj["metadata"]["uid"] != workload.uid):
            self._take_down(workload)
            del self._workloads[key]
            workload = None
        if obj is None:
            return
        if workload is None:
            uid = str(obj["metadata"]["uid"])
            workload = Workload(*key, uid, Facts(self._world.now, self._world.now))
            self._workloads[key] = workload
        if is_stopped(obj):
            self._stop(workload, obj)
            return
        try:
            template = make_template(obj, self._find_runtime)
        except TemplateError as error:
            status = invalid_status(error.reason, error.message, workload.facts, self._world.now)
            self._write_status(workload, status)
            self._tell(workload, "Warning", "InternalError", f"fails to reconcile predictor: {error.message}", _KSERVE)
            return
        predictor = obj["spec"]["predictor"]
        if template.knative:
            workload.knative.tagged = (obj["metadata"].get("annotations") or {}).get(TAG_ROUTING) == "true"
            template = self._numbered(workload, template, predictor.get("canaryTrafficPercent"))
        self._adopt(workload, template)
        self._roll(workload)
        if not template.knative:
            self._write_surroundings(workload, obj)

    def pod_changed(self, pod: Pod) -> None:
        """A pod of ours entered another stage: its service is reconciled soon."""
        workload = self._by_pod.get((pod.namespace, pod.name))
        if workload is not None:
            if pod.is_ready:
                workload.facts.progress, workload.facts.late = self._world.now, False
            self._world.dirty[workload.namespace, workload.name] = None

    def pod_lost(self, pod: Pod) -> None:
        """Somebody else deleted a pod of ours: its ReplicaSet makes another."""
        workload = self._by_pod.pop((pod.namespace, pod.name), None)
        if workload is not None:
            workload.pods.remove(pod)
            self._world.dirty[workload.namespace, workload.name] = None

    def users_of(self, runtime: str) -> list[tuple[str, str]]:
        """The services whose pods come from a runtime, and those that wait for one."""
        return [
            key
            for key, workload in self._workloads.items()
            if workload.template is None or workload.template.runtime == runtime
        ]

    def _find_runtime(self, namespace: str, name: str) -> tuple[Object, bool] | None:
        own = self._world.store.get(SERVING_RUNTIMES, namespace, name)
        if own is not None:
            return own, False
        shared = self._world.store.get(CLUSTER_SERVING_RUNTIMES, None, name)
        return None if shared is None else (shared, True)

    def _adopt(self, workload: Workload, template: Template) -> None:
        """Take a template as the wanted one; a new hash begins a rollout."""
        before = workload.template
        workload.template = template
        workload.deployment = f"{workload.name}-predictor"
        if template.knative:
            workload.deployment = self._deployment_of(workload, template.hash)
        if before is None or before.hash != template.hash:
            workload.templates[template.hash] = template
            if template.hash in workload.revisions:
                workload.revisions.remove(template.hash)
            workload.revisions.append(template.hash)
            workload.facts.progress, workload.facts.late, workload.facts.finished = self._world.now, False, ""
        elif before.replicas != template.replicas:
            workload.facts.progress = self._world.now

    def _numbered(self, workload: Workload, template: Template, canary: int | None) -> Template:
        """The template as a Knative revision: one that returns to an older template is a new revision all the same."""
        revisions = workload.knative
        revisions.canary = canary
        newest = max(revisions.numbers, key=revisions.numbers.__getitem__, default="")
        if revisions.asked != template.hash:
            revisions.asked = template.hash
            number = len(revisions.numbers) + 1
            newest = template.hash if number == 1 else short_hash(template.hash, number)
            revisions.numbers[newest] = number
            workload.made[newest] = self._world.now
        return replace(template, hash=newest)

    def _labels(self, workload: Workload, template: Template) -> dict[str, str]:
        number = workload.knative.numbers.get(template.hash)
        revision = {REVISION_LABEL: revision_name(workload.name, number)} if number else {}
        return {**template.labels, **revision}

    def _deployment_of(self, workload: Workload, template_hash: str) -> str:
        number = workload.knative.numbers.get(template_hash)
        return f"{revision_name(workload.name, number)}-deployment" if number else f"{workload.name}-predictor"

    def _steps(self, workload: Workload, template: Template) -> None:
        """Make and remove pods as far as can be done now."""
        if not template.knative:
            for _ in range(4):
                step = next_step(workload.pods, template.hash, template.replicas, template.strategy)
                if not step.create and not step.remove:
                    return
                for pod in step.remove:
                    self._remove(workload, pod)
                for _ in range(step.create):
                    self._create(workload, template)
            return
        workload.knative.settle(template.hash, template.replicas, workload.pods)
        for known, wanted in workload.knative.wanted(template.hash, workload.templates).items():
            pods = [pod for pod in workload.pods if pod.hash == known]
            for pod in pods[wanted:]:
                self._remove(workload, pod)
            for _ in range(wanted - len(pods)):
                self._create(workload, workload.templates[known])

    def _write_revisions(self, workload: Workload, template: Template) -> None:
        wanted = workload.knative.wanted(template.hash, workload.templates)
        for known, number in workload.knative.numbers.items():
            pods = [pod for pod in workload.pods if pod.hash == known]
            seen = (sum(pod.is_ready for pod in pods), wanted[known], number)
            if workload.counted.get(f"revision {known}") != seen:
                workload.counted[f"revision {known}"] = seen
                where = (workload.namespace, workload.name, number, workload.templates[known], pods, wanted[known])
                obj = revision_object(*where, workload.made[known], self._world.now)
                self._world.store.put(REVISIONS, obj, manager="controller")
                if known != template.hash:
                    self._scale_older(workload, known, wanted[known], seen[0])

    def _scale_older(self, workload: Workload, template_hash: str, replicas: int, ready: int) -> None:
        """Bring the Deployment of an older revision to the pods that its traffic still needs."""
        store, name = self._world.store, self._deployment_of(workload, template_hash)
        made = store.get(DEPLOYMENTS, workload.namespace, name)
        if made is None:
            return
        made["spec"]["replicas"] = replicas
        counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready, "availableReplicas": ready}
        status = {name: value for name, value in made["status"].items() if name not in (*counts, "unavailableReplicas")}
        made["status"] = status | {name: count for name, count in counts.items() if count}
        store.put(DEPLOYMENTS, made)

    def _write_surroundings(self, workload: Workload, obj: Object) -> None:
        """Write what follows from a Standard service beside its Deployment: routes, and an autoscaler where asked."""
        store, predictor = self._world.store, obj["spec"]["predictor"]
        for made in service_routes(
            workload.namespace, workload.name, workload.uid, predictor.get("timeout"), workload.facts.created
        ):
            store.put(HTTP_ROUTES, made)
        if (obj["metadata"].get("annotations") or {}).get(AUTOSCALER, "hpa") == "hpa":
            ready = sum(pod.is_ready for pod in workload.pods)
            where = (workload.namespace, workload.name, workload.uid, predictor, ready, workload.facts.created)
            store.put(HORIZONTAL_POD_AUTOSCALERS, autoscaler(*where))
        else:
            store.delete(HORIZONTAL_POD_AUTOSCALERS, workload.namespace, f"{workload.name}-predictor")

    def _roll(self, workload: Workload) -> None:
        template = workload.template
        if template is None:
            return
        if self._world.store.stored(DEPLOYMENTS, workload.namespace, workload.deployment) is None:
            self._write_objects(workload, template)
        if template.hash not in workload.replica_sets:
            self._write_replica_set(workload, template.hash)
        self._steps(workload, template)
        counted = {template_hash: [0, 0] for template_hash in workload.replica_sets}
        for pod in workload.pods:
            counted[pod.hash][0] += 1
            counted[pod.hash][1] += pod.is_ready
        for template_hash, counts in counted.items():
            seen = (*counts, template.replicas, workload.revisions.index(template_hash))
            if workload.counted.get(template_hash) != seen:
                workload.counted[template_hash] = seen
                self._write_replica_set(workload, template_hash)
        self._watch_progress(workload)
        if template.knative:
            self._write_revisions(workload, template)
        self._write_objects(workload, template)
        self._write_service_status(workload, template)

    def _write_objects(self, workload: Workload, template: Template) -> None:
        """Write Deployment and Service, with the Deployment's status."""
        world, name = self._world, workload.deployment
        stored = world.store.stored(DEPLOYMENTS, workload.namespace, name)
        created = world.now if stored is None else None
        obj = deployment(
            workload.namespace, name, workload.name, workload.uid, template, len(workload.revisions), created
        )
        made = world.store.put(DEPLOYMENTS, obj, manager="kserve-controller-manager")
        _, unavailable = limits(template.strategy, template.replicas)
        if template.strategy.get("type") == "Recreate":
            unavailable = 0
        generation = made["metadata"]["generation"]
        newest = f"{name}-{template.hash}"
        pods = [pod for pod in workload.pods if pod.hash == template.hash] if template.knative else workload.pods
        rollout = Rollout(pods, template.hash, template.replicas, unavailable, newest, generation)
        status = deployment_status(rollout, workload.facts, world.now)
        world.store.patch_status(DEPLOYMENTS, workload.namespace, name, status)
        if created is not None:
            obj = service(
                workload.namespace, f"{workload.name}-predictor", workload.name, workload.uid, template, created
            )
            world.store.put(SERVICES, obj, manager="kserve-controller-manager")

    def _write_replica_set(self, workload: Workload, template_hash: str) -> None:
        world = self._world
        deployment_name = self._deployment_of(workload, template_hash)
        name = f"{deployment_name}-{template_hash}"
        pods = [pod for pod in workload.pods if pod.hash == template_hash]
        revision = workload.revisions.index(template_hash) + 1
        known = template_hash in workload.replica_sets
        parent = world.store.stored(DEPLOYMENTS, workload.namespace, deployment_name)
        obj = replica_set(
            workload.namespace,
            name,
            deployment_name,
            str(parent.content["metadata"]["uid"]) if parent else "",
            workload.templates[template_hash],
            pods,
            revision,
            None if known else world.now,
        )
        stored = world.store.put(REPLICA_SETS, obj)
        workload.replica_sets[template_hash] = stored["metadata"]["uid"]

    def _create(self, workload: Workload, template: Template) -> None:
        world = self._world
        owner = f"{self._deployment_of(workload, template.hash)}-{template.hash}"
        ordinal = workload.ordinals.get(template.hash, 0)
        workload.ordinals[template.hash] = ordinal + 1
        suffix = world.pod_suffix(workload.uid, template.hash, ordinal)
        pod = Pod(
            namespace=workload.namespace,
            name=f"{owner}-{suffix}",
            service=workload.name,
            replica_set=owner,
            replica_set_uid=workload.replica_sets[template.hash],
            hash=template.hash,
            spec=template.spec,
            labels=self._labels(workload, template),
            annotations=template.annotations,
            created=world.now,
            ordinal=ordinal,
        )
        workload.pods.append(pod)
        self._by_pod[pod.namespace, pod.name] = workload
        if self.kubelet is not None:
            self.kubelet.add(pod)
        subject = Subject(REPLICA_SETS, workload.namespace, owner, pod.replica_set_uid)
        world.record(subject, "Normal", "SuccessfulCreate", f"Created pod: {pod.name}", "replicaset-controller")

    def _remove(self, workload: Workload, pod: Pod) -> None:
        workload.pods.remove(pod)
        self._by_pod.pop((pod.namespace, pod.name), None)
        if self.kubelet is not None:
            self.kubelet.remove(pod)
        subject = Subject(REPLICA_SETS, workload.namespace, pod.replica_set, pod.replica_set_uid)
        self._world.record(subject, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}", "replicaset-controller")

    def _watch_progress(self, workload: Workload) -> None:
        """Look again when the progress deadline has passed, unless there was progress by then."""
        facts = workload.facts
        if workload.watched_progress == facts.progress:
            return
        workload.watched_progress = progress = facts.progress

        def check() -> None:
            template = workload.template
            if facts.progress != progress or template is None or facts.finished == template.hash:
                return
            if self._workloads.get((workload.namespace, workload.name)) is workload:
                facts.late = True
                self._world.dirty[workload.namespace, workload.name] = None

        self._world.after(PROGRESS_DEADLINE + progress - self._world.now, check)

    def _write_service_status(self, workload: Workload, template: Template) -> None:
        found = self._world.store.get(DEPLOYMENTS, workload.namespace, workload.deployment)
        named = Named(
            workload.namespace,
            workload.name,
            template.runtime,
            template.cluster_runtime,
            template.knative,
            self._component(workload, template) if template.knative else None,
        )
        deployed = (found or {})["status"]
        status = service_status(named, workload.pods, template.hash, deployed, workload.facts, self._world.now)
        self._write_status(workload, status)
        ready = workload.facts.conditions["Ready"]["status"] == "True"
        if ready != workload.was_ready:
            workload.was_ready = ready
            if ready:
                self._tell(workload, "Normal", "InferenceServiceReady", f"InferenceService [{workload.name}] is Ready")
            else:
                because = unready_conditions(workload.facts)
                text = f"InferenceService [{workload.name}] is no longer Ready because of: {because}"
                self._tell(workload, "Warning", "InferenceServiceNotReady", text)

    def _component(self, workload: Workload, template: Template) -> Object:
        url = f"http://{workload.name}-predictor-{workload.namespace}.{INGRESS_DOMAIN}"
        return workload.knative.component(workload.name, template.hash, url)

    def _stop(self, workload: Workload, obj: Object) -> None:
        self._take_down(workload)
        workload.template, workload.was_ready = None, False
        self._write_status(workload, stopped_status(is_knative(obj), workload.facts, self._world.now))

    def _take_down(self, workload: Workload) -> None:
        """Delete all that was made for a service."""
        for pod in list(workload.pods):
            self._remove(workload, pod)
        for template_hash in workload.replica_sets:
            deployment_name = self._deployment_of(workload, template_hash)
            self._delete(REPLICA_SETS, workload, f"{deployment_name}-{template_hash}")
            self._delete(DEPLOYMENTS, workload, deployment_name)
        workload.replica_sets.clear()
        workload.counted.clear()
        if workload.deployment:
            self._delete(DEPLOYMENTS, workload, workload.deployment)
            self._delete(SERVICES, workload, f"{workload.name}-predictor")
            for name in (workload.name, f"{workload.name}-predictor"):
                self._delete(HTTP_ROUTES, workload, name)
            self._delete(HORIZONTAL_POD_AUTOSCALERS, workload, f"{workload.name}-predictor")
        for number in workload.knative.numbers.values():
            self._delete(REVISIONS, workload, revision_name(workload.name, number))
        workload.knative = Revisions()
        workload.facts.deployment_conditions.clear()

    def _delete(self, resource: Resource, workload: Workload, name: str) -> None:
        self._world.store.delete(resource, workload.namespace, name)

    def _write_status(self, workload: Workload, status: Object) -> None:
        if self._world.store.stored(INFERENCE_SERVICES, workload.namespace, workload.name) is not None:
            self._world.store.patch_status(INFERENCE_SERVICES, workload.namespace, workload.name, status)

    def _tell(self, workload: Workload, kind: str, reason: str, message: str, component: str = _KSERVE) -> None:
        subject = Subject(INFERENCE_SERVICES, workload.namespace, workload.name, workload.uid)
        self._world.record(subject, kind, reason, message, component)


def unready_conditions(facts: Facts) -> str:
    """Which conditions keep a service from being ready."""
    unready = [kind for kind, condition in facts.conditions.items() if condition["status"] != "True"]
    return ", ".join(kind for kind in unready if kind not in ("Ready", "Stopped"))
