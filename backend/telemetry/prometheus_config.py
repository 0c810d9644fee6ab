"""The tables `[telemetry.prometheus]` of the configuration.

```toml
[telemetry]
prometheus = { service = "monitoring/prometheus-operated:9090" }    # through the API server
# or by address:
# prometheus = { url = "https://prometheus.example.org", token = { env = "PROMETHEUS_TOKEN" }, ca = "ca.pem" }
# several clusters, each with its own:
# [[telemetry.prometheus]]
# context = "prod"
# url = "https://thanos.example.org"
# labels = { cluster = "prod" }
```
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from backend.core.settings import SecretReference, Settings

_SERVICE: Final = re.compile(r"[a-z0-9-]{1,63}/(?:https?:)?[a-z0-9.-]{1,253}:[a-z0-9-]{1,15}\Z")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


class PrometheusConfig(Settings):
    """A Prometheus, or what answers as one, that GPUs and model servers of a cluster are read from.

    Attributes:
        url: of its root, where it is reached directly.
        service: `NAMESPACE/NAME:PORT`, where it is reached through the API server; `https:` before the name for TLS.
        context: of the cluster that it watches; empty: the primary.
        token: bearer token; ca: PEM file of the authority to trust instead of the system's. Both for `url` alone.
        labels: that its series carry, where it watches several clusters.
        insecure: `http://` is meant.
    """

    url: str = Field(default="", max_length=2048)
    service: str = ""
    context: str = ""
    token: SecretReference | None = None
    ca: Path | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    insecure: bool = False

    @model_validator(mode="after")
    def _it_is_reached_one_way(self) -> PrometheusConfig:
        if bool(self.url) == bool(self.service):
            raise ValueError('name either url = "https://..." or service = "NAMESPACE/NAME:PORT"')
        if self.service and not _SERVICE.match(self.service):
            raise ValueError('service is of the form NAMESPACE/NAME:PORT, such as "monitoring/prometheus:9090"')
        if self.service and (self.token is not None or self.ca is not None):
            raise ValueError("token and ca go with url: through the API server its own credentials are used")
        if self.url:
            self._check_url()
        unknown = next((name for name in self.labels if not _LABEL.match(name)), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no name of a label")
        return self

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            host = parts.hostname
        except ValueError as error:
            raise ValueError("url is none") from error
        if parts.scheme not in {"https", "http"} or not host:
            raise ValueError("url starts with https:// and names a host")
        if parts.scheme == "http" and not self.insecure:
            raise ValueError("http:// needs insecure = true")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url holds no credentials: use token")
