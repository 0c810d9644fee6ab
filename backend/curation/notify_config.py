"""The `[notify]` table of the configuration: who is told when something waits for a person.

```toml
[notify]
bell = true                         # the terminal's bell and title, on every screen
title = true
expiring = "7d"                     # how long before its end an approval is told of

[[notify.target]]
kind = "webhook"
name = "security"                   # in doctor and in messages; none: its place in the list
url = "https://chat.example.org/hooks/modelyard"  # or { env = "HOOK_URL" }, { file = "PATH" }
secret = { env = "HOOK_SECRET" }    # signs what is sent; see backend/flows/notify_webhook.py
events = ["waiting", "break-glass"] # none: all; also "expiring", "alert"

[[notify.target]]
kind = "command"
command = ["/usr/local/bin/page", "--quiet"]
limit = "10s"
```
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from backend.core.errors import ConfigurationError
from backend.core.settings import Duration, SecretReference, Settings


class NoticeKind(StrEnum):
    """What is told of: a candidate waits, a glass was broken, an approval ends soon, an alert fires or is over."""

    WAITING = "waiting"
    BREAK_GLASS = "break-glass"
    EXPIRING = "expiring"
    ALERT = "alert"


class _Target(Settings):
    """What all targets have.

    Attributes:
        events: what it is told of; empty: everything.
        limit: how long one attempt may take.
    """

    name: str = Field(default="", max_length=60)
    events: tuple[NoticeKind, ...] = ()
    limit: Duration = timedelta(seconds=10)

    @field_validator("limit")
    @classmethod
    def _limit_is_bounded(cls, limit: timedelta) -> timedelta:
        if not timedelta(milliseconds=100) <= limit <= timedelta(minutes=1):
            raise ValueError("it is between 100ms and 1m")
        return limit

    def wants(self, kind: NoticeKind) -> bool:
        """Whether it is told of such a thing."""
        return not self.events or kind in self.events


class WebhookTarget(_Target):
    """An HTTP endpoint that notices are posted to.

    Attributes:
        url: where to; by reference where the url itself is the secret, as chat services have it.
        secret: that the receiver shares; what is sent is signed with it. None: nothing is signed.
        insecure: `http://` is allowed.
    """

    kind: Literal["webhook"]
    url: str | SecretReference
    secret: SecretReference | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _url_is_one(self) -> WebhookTarget:
        if isinstance(self.url, str) and (why := self._wrong(self.url)):
            raise ValueError(why)
        return self

    def address(self, base: Path, purpose: str) -> str:
        """The url, read where it is a reference to one; may read a file.

        Args:
            base: folder that a relative path starts at.
            purpose: what needs it, for the error.

        Raises:
            ConfigurationError: it cannot be read, or it is no url that will do.
        """
        if isinstance(self.url, str):
            return self.url
        url = self.url.read(base, f"url of {purpose}")
        if why := self._wrong(url):
            raise ConfigurationError(f"the url of {purpose} will not do: {why}", "correct it where it is kept")
        return url

    def _wrong(self, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return "url is none"
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            return "url starts with https:// and names a host"
        if parts.scheme == "http" and not self.insecure:
            return "http:// needs insecure = true"
        if parts.username is not None or parts.password is not None:
            return "url holds no credentials: they would stand in messages"
        return ""


class CommandTarget(_Target):
    """A program that is started once for each notice and reads it as JSON.

    Attributes:
        command: the program and its arguments; no shell reads it. A relative path starts at the configuration's folder.
    """

    kind: Literal["command"]
    command: tuple[str, ...] = Field(min_length=1, max_length=50)


Target: TypeAlias = Annotated[WebhookTarget | CommandTarget, Field(discriminator="kind")]


class NotifyConfig(Settings):
    """The `[notify]` table.

    Attributes:
        bell, title: of the terminal that the screen is shown on.
        expiring: how long before its end an approval is told of.
    """

    bell: bool = True
    title: bool = True
    expiring: Duration = timedelta(days=7)
    target: tuple[Target, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _names_are_unique(self) -> NotifyConfig:
        names = self.names()
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two targets are named {twice[0]!r}")
        return self

    def names(self) -> list[str]:
        """What each target is called, in order: deliveries are recorded under it."""
        return [target.name or f"{target.kind} {place}" for place, target in enumerate(self.target, 1)]
