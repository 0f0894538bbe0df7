"""One pass of registration, and heartbeats: the decisions of ``loop.py`` carried out.

Owns the order in which files, extension and portal are used: a pending key is on the disk before
its CSR is sent, a certificate is installed before it is used. Does not decide anything about
codes (``loop.py``) and does not wait (``service.py``).
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace

from orchestrators.agent import logs, wire
from orchestrators.agent.client import Basic, Credential, Portal
from orchestrators.agent.extension import ExtensionError, LoadedUpdater
from orchestrators.agent.home import Home
from orchestrators.agent.install import (
    CertificateUnusableError,
    installation,
    marry,
    open_store,
    recover,
    remember_agent_id,
)
from orchestrators.agent.jobs import JobRunner
from orchestrators.agent.journal import Journal
from orchestrators.agent.loop import (
    Action,
    Beat,
    Outcome,
    Phase,
    after_heartbeat,
    after_register,
    pass_outcome,
)
from orchestrators.agent.pending import Pending, PendingFile
from orchestrators.agent.settings import (
    Settings,
    SettingsError,
    read_secrets,
    read_settings,
)
from orchestrators.agent.store import CertificateStore, Identity
from orchestrators.agent.windows import PersonalStores
from orchestrators.agent.wire import RegisterReply

log = logging.getLogger("Keyfactor.Orchestrators.JobEngine.Renewal")


@dataclass(frozen=True)
class Session:
    """A session that the portal granted."""

    token: str
    heartbeat_seconds: float
    client_machine: str
    credential: Identity


class Orchestrator:
    """The orchestrator of one home."""

    def __init__(
        self,
        home: Home,
        portal: Portal,
        updater: LoadedUpdater,
        jobs: JobRunner,
        personal_stores: PersonalStores | None = None,
    ) -> None:
        self.home = home
        self.portal = portal
        self.updater = updater
        self.jobs = jobs
        self.personal_stores = personal_stores
        self.pending = PendingFile(home.pending)
        self.journal = Journal(home.journal)
        self.session: Session | None = None

    def run_pass(self) -> Outcome:
        """Register, renew or enroll if that is due, and run the jobs of the session.

        Raises PortalError, SettingsError, StoreError, JournalError, JsonTextError, OSError.
        """
        recover(self.home)
        try:
            return _Pass(self).run()
        except ExtensionError as error:
            log.error("Registration updater: %s", error)
            return Outcome.EXTENSION
        except CertificateUnusableError as error:
            log.error("%s; what was in use stays in use", error)
            return Outcome.CERTIFICATE_UNUSABLE

    def beat(self) -> Beat:
        """Send one heartbeat with the certificate of the moment. Raises PortalError."""
        if self.session is None:
            return Beat.REGISTER
        body = wire.heartbeat_body(
            client_machine=self.session.client_machine, token=self.session.token
        )
        reply = wire.read_heartbeat(self.portal.post(wire.HEARTBEAT, body, self.session.credential))
        if not reply.result.is_ok:
            logs.report_reply(self.portal.url(wire.HEARTBEAT), reply.result, session=True)
        decided = after_heartbeat(reply)
        if decided is Beat.REGISTER:
            log.info("The session has ended; registering")
            self.session = None
        else:
            self.session = replace(self.session, heartbeat_seconds=reply.heartbeat_minutes * 60)
        return decided


class _Pass:
    """One pass: bare registration, then possibly CSR, installation and confirmation."""

    _settings: Settings
    _store: CertificateStore
    _identity: Identity | None

    def __init__(self, owner: Orchestrator) -> None:
        self._owner = owner
        self._open()
        owner.journal.recover(self._store.files)

    def run(self) -> Outcome:
        if self._identity is None:
            return self._submit(self._pending(requested=True), asked=True)
        reply = self._register()
        action = after_register(reply, Phase.BARE)
        self._take_session(reply, action, self._identity)
        if action.ask_extension is None:
            return self._outcome(reply, action, asked=False)
        pending = self._pending(requested=action.ask_extension)
        if pending is None and not action.ask_extension:
            return self._outcome(reply, action, asked=False)
        return self._submit(pending, asked=action.ask_extension)

    def _submit(self, pending: Pending | None, *, asked: bool) -> Outcome:
        if pending is None:
            raise ExtensionError(f"{self._owner.updater.name} returned no CSR")
        asked_with = self._identity
        reply = self._register(pending.csr_text)
        action = after_register(reply, Phase.CSR)
        if action.drop_pending:
            log.warning("The portal refuses this key; the next registration makes a new one")
            self._owner.pending.drop()
        if not action.install:
            self._take_session(reply, action, asked_with)
            return self._outcome(reply, action, asked=asked)
        try:
            self._install(reply, pending)
        finally:
            # Both certificates are good inside this session, whichever is installed now.
            self._take_session(reply, action, asked_with)
        return self._confirm(asked=asked)

    def _confirm(self, *, asked: bool) -> Outcome:
        """Register with the new certificate: this proves it to the portal."""
        reply = self._register()
        action = after_register(reply, Phase.CONFIRM)
        self._take_session(reply, action, self._identity)
        return self._outcome(reply, action, asked=asked, installed=True)

    def _register(self, csr: str = "") -> RegisterReply:
        body = wire.register_body(
            client_machine=self._settings.orchestrator_name,
            # Before its first certificate an orchestrator has no id that counts.
            agent_id=self._settings.orchestrator_id if self._identity else "",
            csr=csr,
            capabilities=self._settings.capabilities,
            client_parameters={
                **self._settings.client_parameters,
                **self._owner.updater.parameters(),
                "certificate-store": self._store.description,
            },
        )
        portal = self._owner.portal
        reply = wire.read_register(portal.post(wire.REGISTER, body, self._credential()))
        logs.report_reply(portal.url(wire.REGISTER), reply.result, session=bool(reply.token))
        return reply

    def _take_session(
        self, reply: RegisterReply, action: Action, asked_with: Identity | None
    ) -> None:
        """Use the session that was granted to ``asked_with`` with the certificate installed now."""
        if not action.take_session or self._identity is None:
            return  # A refusal ends no session, and a bootstrap credential carries none.
        if reply.agent_id and reply.agent_id != self._settings.orchestrator_id:
            remember_agent_id(self._owner.home, reply.agent_id)
            self._settings = replace(self._settings, orchestrator_id=reply.agent_id)
        self._owner.session = Session(
            token=reply.token,
            heartbeat_seconds=reply.heartbeat_minutes * 60,
            client_machine=self._settings.orchestrator_name,
            credential=self._identity,
        )
        if asked_with is None:
            log.info("Session granted to the bootstrap credential")
        else:
            serial = asked_with.certificate.serial_number
            log.info(
                "Session granted to certificate %s, serial %s",
                asked_with.thumbprint,
                # Two digits to the octet, as the portal shows it.
                serial.to_bytes((serial.bit_length() + 7) // 8, "big").hex(),
            )
        self._owner.jobs.run(reply.jobs, reply.token, self._identity)

    def _install(self, reply: RegisterReply, pending: Pending) -> None:
        identity = marry(reply.certificate, pending, self._identity)
        update = self._store.update_for(identity)
        self._owner.journal.apply(installation(self._owner.home, update, reply.agent_id))
        # What counts from here on is what can be read back from the disk.
        self._open()
        log.info("Certificate %s installed: %s", identity.thumbprint, self._store.description)

    def _open(self) -> None:
        owner = self._owner
        self._settings = read_settings(owner.home)
        self._store = open_store(owner.home, self._settings, owner.personal_stores)
        self._identity = self._store.load()

    def _credential(self) -> Credential:
        if self._identity is not None:
            return self._identity
        secrets = read_secrets(self._owner.home)
        if not secrets.bootstrap_username:
            raise SettingsError(
                "there is neither a certificate "
                f"({self._settings.cert_path or self._settings.auth_cert_thumbprint}) nor a "
                "bootstrap credential; see 'init --help'"
            )
        return Basic(secrets.bootstrap_username, secrets.bootstrap_password)

    def _pending(self, *, requested: bool) -> Pending | None:
        """Return the pending CSR, made now if there is none from this extension and config."""
        updater, pending_file = self._owner.updater, self._owner.pending
        origin = _origin(updater, self._settings)
        found = pending_file.load()
        usable = found if found is not None and found.origin == origin else None
        if requested and usable is not None:
            return usable
        info = updater.csr_info(requested)
        if info is None:
            return None
        if usable is None:
            usable = Pending(info.csr, info.private_key, origin)
            pending_file.save(usable)
        return usable

    def _outcome(
        self, reply: RegisterReply, action: Action, *, asked: bool, installed: bool = False
    ) -> Outcome:
        return pass_outcome(
            result=reply.result, session=action.take_session, asked=asked, installed=installed
        )


def _origin(updater: LoadedUpdater, settings: Settings) -> str:
    """Return a digest of what a CSR is made from: another extension or config, another CSR."""
    ingredients = [
        updater.name,
        updater.sha256,
        dict(updater.config),
        settings.orchestrator_name,
    ]
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()
