"""Who we are to an API server, through tokens that expire and people who sign in anew while we run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from backend.cluster.credentials import Credential, load_credential
from backend.cluster.kubeconfig import KubeContext
from backend.core.errors import ConfigurationError, ModelyardError
from backend.core.ports import Clock

#: A credential is not read again sooner than this after it was, or could not be: many requests find it wanting at once.
_RENEWAL_PAUSE: Final = 10.0

Reread = Callable[[], KubeContext]


class SignIn:
    """The credential of a context.

    Attributes:
        context: as it was last read.
        credential: what requests carry now.
    """

    def __init__(
        self, context: KubeContext, credential: Credential, *, clock: Clock, reread: Reread | None = None
    ) -> None:
        """
        Args:
            reread: reads the context from its kubeconfig again; blocks.
        """
        self.context = context
        self.credential = credential
        self._clock = clock
        self._reread = reread
        self._renewal = asyncio.Lock()
        self._renewed_at: float | None = None
        self._renewal_error: ModelyardError | None = None

    async def current(self) -> Credential:
        """The credential to send, renewed when it is about to expire.

        Raises:
            AuthenticationError, ConfigurationError: it could not be read.
        """
        credential = self.credential
        if credential.stale(self._clock.now()):
            await self.renew(credential)
        return self.credential

    async def renew(self, seen: Credential) -> bool:
        """Read the credential again, once for everybody who found this one wanting. Whether there is another now.

        Raises:
            AuthenticationError, ConfigurationError: it could not be read.
        """
        async with self._renewal:
            if self.credential is not seen:
                return True
            if self._renewed_at is not None and self._clock.monotonic() - self._renewed_at < _RENEWAL_PAUSE:
                if self._renewal_error is not None:
                    raise self._renewal_error
                return False
            context = await asyncio.to_thread(self._context_now)
            if context is self.context and not seen.renewable:
                return False
            self._renewed_at, self._renewal_error = self._clock.monotonic(), None
            try:
                self.credential = await load_credential(context)
            except ModelyardError as error:
                self._renewal_error = error
                raise
            self.context = context
            return True

    def _context_now(self) -> KubeContext:
        """The context as its kubeconfig has it now, unless it leads elsewhere: that is another cluster."""
        if self._reread is None:
            return self.context
        try:
            context = self._reread()
        except ConfigurationError:
            # Somebody may be writing it just now; what is known still says what to do.
            return self.context
        if context.server != self.context.server or context.user == self.context.user:
            return self.context
        return context
