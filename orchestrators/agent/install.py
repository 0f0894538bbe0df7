"""From a certificate in a reply to a pair on the disk.

Owns opening the configured store, marrying a certificate to the pending key and the list of file
changes of an installation. ``journal.py`` carries the list out as one.
"""

from __future__ import annotations

import base64
import re
import shutil

from cryptography import x509

from orchestrators.agent import files
from orchestrators.agent.executable import PRIVATE_PREFIX
from orchestrators.agent.home import Home
from orchestrators.agent.journal import Change, Journal
from orchestrators.agent.pending import Pending
from orchestrators.agent.settings import (
    BOOTSTRAP_MEMBERS,
    PASSWORD_MEMBER,
    SECTION,
    Settings,
    edited,
    read_secrets,
    read_text,
    secrets_text,
)
from orchestrators.agent.store import (
    CertificateStore,
    Identity,
    PemStore,
    Pkcs12Store,
    StoreError,
    StoreUpdate,
)
from orchestrators.agent.windows import PersonalStores, WindowsStore

_PKCS12_SUFFIXES = frozenset({".p12", ".pfx"})


class CertificateUnusableError(Exception):
    """The certificate of a reply is not the answer to the CSR that was sent."""


def open_store(
    home: Home, settings: Settings, personal_stores: PersonalStores | None
) -> CertificateStore:
    """Return the store that the settings name. Raises StoreError."""
    if not settings.cert_path:
        if personal_stores is None:
            raise StoreError(
                "AuthCertThumbprint without CertPath names a Windows store; this is not Windows"
            )
        return WindowsStore(personal_stores, settings.auth_cert_thumbprint)
    path = home.resolve(settings.cert_path)
    if path.suffix.lower() in _PKCS12_SUFFIXES:
        return Pkcs12Store(path, read_secrets(home).certificate_password, PASSWORD_MEMBER)
    if not settings.key_path:
        raise StoreError("CertPath is neither .p12 nor .pfx: KeyPath is needed for a PEM file")
    return PemStore(path, home.resolve(settings.key_path))


def marry(certificate: str, pending: Pending, previous: Identity | None) -> Identity:
    """Return the pair of the returned certificate and the pending key.

    Raises CertificateUnusableError (S35 in docs/promises.md). Intermediates of the previous
    certificate are kept if the same CA issued the new one.
    """
    try:
        der = base64.b64decode(re.sub(r"\s+", "", certificate), validate=True)
        leaf = x509.load_der_x509_certificate(der)
        chain = previous.chain if previous and _same_issuer(previous, leaf) else ()
        return Identity(leaf, pending.private_key, chain)
    except (ValueError, StoreError) as error:
        raise CertificateUnusableError(f"the returned certificate was refused: {error}") from error


def installation(home: Home, update: StoreUpdate, agent_id: str) -> list[Change]:
    """Return all changes of an installation.

    The bootstrap credential has done its work and goes, the pending key is pending no more.
    """
    app_settings = {**update.settings, **({"OrchestratorId": agent_id} if agent_id else {})}
    return [
        *(Change(path, content) for path, content in update.files.items()),
        Change(
            home.secrets,
            edited(secrets_text(home), update.secrets, removed=BOOTSTRAP_MEMBERS),
        ),
        Change(
            home.app_settings,
            edited(read_text(home.app_settings), app_settings, section=SECTION),
        ),
        Change(home.pending, None),
    ]


def remember_agent_id(home: Home, agent_id: str) -> None:
    """Write the id that the portal gave into the settings file."""
    text = edited(read_text(home.app_settings), {"OrchestratorId": agent_id}, section=SECTION)
    files.write_atomic(home.app_settings.resolve(), text)


def recover(home: Home) -> bool:
    """Finish or clear what a killed process left behind; return whether it was finished.

    Runs before the settings are read, because it may replace them. What an uncommitted set left
    beside the files of the store is cleared once the store is known.
    """
    for left_over in home.configuration.glob(f"{PRIVATE_PREFIX}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    for left_over in home.configuration.glob("*.tmp"):
        files.remove(left_over)
    return Journal(home.journal).recover([home.secrets, home.app_settings])


def _same_issuer(previous: Identity, leaf: x509.Certificate) -> bool:
    return previous.certificate.issuer == leaf.issuer
