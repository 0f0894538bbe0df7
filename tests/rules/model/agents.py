"""Agents of the model: the existing C agent and the reference orchestrator, call by call.

Owns what an agent does with a reply. A run is a generator that yields the key of its next CSR
(None: no CSR) and is sent the reply, or None if no reply came; so two runs of one agent can be
interleaved. Both read their certificate anew for every call.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import count

from orchestrators.protocol.codes import NEW_KEY_CODES, RENEWAL_CODES
from tests.rules.model.rows import Certificate, Reply

Run = Generator[int | None, Reply | None, None]


@dataclass
class Agent:
    """One host: its certificate file, its session, and a source of keys."""

    certificate: Certificate
    token: int | None = None
    is_replaced: bool = False
    """Somebody configured a certificate that the portal does not expect."""
    keys: Iterator[int] = field(default_factory=lambda: count(1))
    tries = 1

    def run(self) -> Run:
        raise NotImplementedError

    def _take(self, reply: Reply) -> None:
        if reply.token is not None:
            self.token = reply.token

    def _store(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.is_replaced = False


class CAgent(Agent):
    """A new key at every try; the same body again when no reply came; keeps a certificate only
    if it came with a token.
    """

    tries = 2

    def run(self) -> Run:
        reply = yield None
        if reply is None:
            return
        if reply.status in (2, 3) and reply.code in RENEWAL_CODES:
            reply = yield next(self.keys)
            if reply is not None and reply.token is not None:
                if reply.certificate is not None:
                    self._store(reply.certificate)
                self._take(reply)
            return
        self._take(reply)


@dataclass
class ReferenceAgent(Agent):
    """Keeps a pending key until its certificate has come, and proves that at once."""

    pending: int | None = None

    def run(self) -> Run:
        reply = yield None
        if reply is None:
            return
        self._take(reply)
        if reply.code not in RENEWAL_CODES:
            return
        if self.pending is None:
            self.pending = next(self.keys)
        reply = yield self.pending
        if reply is None:
            return
        self._take(reply)
        if reply.code in NEW_KEY_CODES:
            self.pending = None
        if reply.certificate is not None and reply.token is not None:
            assert reply.certificate.key == self.pending
            self._store(reply.certificate)
            self.pending = None
            reply = yield None
            if reply is not None:
                self._take(reply)
