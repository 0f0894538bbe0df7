"""The folder of a test's CA: its key, what it was asked and did, and how it is to behave.

Owns the files that the CA's object (in a worker of the portal) and the test share. The ledger is
the outside's truth: a certificate exists if a line says so, whatever the portal believes.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from renewal.ca import profiles
from renewal.ca.base import Issued, IssueRequest
from renewal.x509.certificates import serial_text

OK = "ok"
_LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Order:
    """How the CA is to behave until it is told otherwise; with ``once``, for one call."""

    issue: str = OK
    revoke: str = OK
    seconds: float = 0.0
    once: bool = False


@dataclass(frozen=True)
class Ledger:
    """The CA in one folder."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, name: str) -> Ledger:
        """Make the CA: a root that signs by itself, valid for centuries."""
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        began = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3650)
        root = profiles.root_certificate(key, name, began, began + timedelta(days=365 * 300))
        (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
        (folder / "root.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        ledger = cls(folder)
        ledger.tell()
        return ledger

    @property
    def root(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "root.pem").read_bytes())

    def authority(self) -> profiles.Authority:
        """Return key and certificate that sign."""
        key = load_pem_private_key((self.folder / "root.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return profiles.Authority(key, self.root)

    # --- told by the test ----------------------------------------------------------------------

    def tell(self, **order: Any) -> None:
        """Replace the CA's orders."""
        aside = self.folder / f"order-{os.getpid()}"
        aside.write_text(json.dumps(vars(Order(**order))))
        aside.replace(self.folder / "order.json")

    def order(self) -> Order:
        """Return the orders; those for one call are taken by one caller only."""
        order = self._read()
        if not order.once:
            return order
        try:
            (self.folder / "order.json").rename(self.folder / "taken.json")
        except FileNotFoundError:
            return Order()
        self.tell()
        return order

    def wait_while(self, issue: str) -> None:
        """Return when the orders say something else."""
        while self._read().issue == issue:
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _read(self) -> Order:
        try:
            return Order(**json.loads((self.folder / "order.json").read_text()))
        except FileNotFoundError:
            return Order()

    # --- the book ------------------------------------------------------------------------------

    def write(self, event: str, **line: Any) -> None:
        """Add a line; one write, so that processes do not mix theirs."""
        entry = {**line, "event": event, "at": datetime.now(UTC).isoformat()}
        with (self.folder / "ledger.jsonl").open("ab", buffering=0) as book:
            book.write(json.dumps(entry).encode() + b"\n")

    def lines(self, event: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the lines of one kind: asked, issued, polled, revoked …"""
        path = self.folder / "ledger.jsonl"
        found = path.read_text().splitlines() if path.exists() else []
        return [
            line
            for line in map(json.loads, found)
            if line["event"] == event and wanted.items() <= line.items()
        ]

    def spans(self, keys: set[str]) -> list[tuple[str, str]]:
        """Return when the CA was asked for these keys, and when it had signed, in order."""
        ends = {line["key"]: line["at"] for line in self.lines("issued")}
        return sorted(
            (line["at"], ends[line["key"]]) for line in self.lines("asked") if line["key"] in keys
        )

    # --- signing -------------------------------------------------------------------------------

    def sign(self, request: IssueRequest, event: str = "issued") -> Issued:
        """Sign what is asked and write it down."""
        certificate = profiles.client_certificate(
            self.authority(), request, crl_url="", issuer_url=""
        )
        der = certificate.public_bytes(Encoding.DER)
        self.write(
            event,
            request_id=request.request_id,
            serial=serial_text(request.serial_number),
            key=key_hash(request),
            certificate=base64.b64encode(der).decode(),
        )
        return Issued(der)

    def signed(self, request_id: str) -> Issued | None:
        """Return what was issued for a request."""
        for line in self.lines("issued", request_id=request_id):
            return Issued(base64.b64decode(line["certificate"]))
        return None

    def release(self, request_id: str) -> Issued:
        """Issue what was signed and kept back."""
        (kept,) = self.lines("kept", request_id=request_id)
        self.write(**{**kept, "event": "issued"})
        return Issued(base64.b64decode(kept["certificate"]))

    def certify(
        self, name: str, *, days_left: float, lasts: timedelta = timedelta(days=365)
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Make a client's first certificate, as old as wanted; not a line of the ledger."""
        key = ec.generate_private_key(ec.SECP256R1())
        not_after = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days_left)
        request = IssueRequest(
            request_id="",
            csr_der=b"",
            spki_der=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            subject_der=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]).public_bytes(),
            sans=(),
            serial_number=x509.random_serial_number(),
            not_before=not_after - lasts,
            not_after=not_after,
        )
        return key, profiles.client_certificate(
            self.authority(), request, crl_url="", issuer_url=""
        )


def key_hash(request: IssueRequest) -> str:
    """Return what the ledger calls a key."""
    return sha256(request.spki_der).hexdigest()


def changed(request: IssueRequest, **members: Any) -> IssueRequest:
    """Return the request with other members, for an answer that was not asked for."""
    return replace(request, **members)
