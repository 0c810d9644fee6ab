"""What a deployment uses beside its image, in the words in which that is approved. Pure."""

from __future__ import annotations

from backend.serving.arguments import option
from backend.serving.deployment import DeploymentFile
from backend.serving.engines import NIM, engine_of


def runtime_family(deployment: DeploymentFile) -> str:
    """Such as nim or vllm; `other` where neither image nor runtime tell."""
    return engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime).name


def weights_of(deployment: DeploymentFile) -> str:
    """What fixes the weights: a storage address with its revision, a NIM profile, or empty."""
    model = deployment.model
    engine = engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime)
    if model.storage_uri:
        revised = model.storage_uri.startswith("hf://") and model.revision
        return f"{model.storage_uri}@{model.revision}" if revised else model.storage_uri
    if engine is NIM:
        return model.profile
    named = option(deployment, engine.model_option) if engine.model_option else ""
    revision = model.revision or option(deployment, "--revision")
    return f"hf://{named}@{revision}" if named and revision else ""
