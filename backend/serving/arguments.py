"""What stands among a deployment's arguments. Pure."""

from __future__ import annotations

from backend.serving.deployment import DeploymentFile


def option(deployment: DeploymentFile, name: str) -> str:
    """The value of `--name=value` or `--name value` among the arguments, or empty."""
    for position, argument in enumerate(deployment.args):
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
        if argument == name and position + 1 < len(deployment.args):
            return deployment.args[position + 1]
    return ""
