"""``manage.py certificate``: a certificate from a CSR, for an operator.

Owns the flags and the file that is written; the request is `renewal/operator_requests.py`'s.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    CommandFailed,
    JSONCommand,
    moment,
    read_file,
    the_authority,
    the_template,
)
from renewal.operator_requests import Order, enroll
from renewal.x509.certificates import read_certificate


class Command(JSONCommand):
    help = "Have a CSR enrolled. The same CSR again gives the same certificate."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--authority", required=True)
        parser.add_argument("--template", required=True)
        parser.add_argument("--csr", required=True, metavar="FILE", help="PEM or bare base64 DER")
        parser.add_argument(
            "--not-before", type=moment, help="ISO 8601 with offset; may lie in the past"
        )
        parser.add_argument("--not-after", type=moment, help="ISO 8601 with offset")
        parser.add_argument("--out", metavar="FILE", help="write the certificate there, PEM")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        order = Order(
            csr=read_file(options["csr"]).decode("utf-8", "replace"),
            authority=the_authority(options["authority"]),
            template=the_template(options["template"]),
            not_before=options["not_before"],
            not_after=options["not_after"],
        )
        out = Path(options["out"]) if options["out"] else None
        if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
            raise CommandFailed("file", f"{out.parent} is no folder that can be written to.")
        row, changed = enroll(order, actor=actor, now=now)
        certificate = row.certificate
        answer: Answer = {
            "changed": changed,
            "enrollment": row.pk,
            "state": row.state,
            "authority": row.authority.name,
            "template": order.template.name,
        }
        if certificate is None:
            return {**answer, "message": row.last_error or "The CA has not answered yet."}
        pem = read_certificate(bytes(certificate.der)).pem
        if out is not None and not (out.is_file() and out.read_text("utf-8", "replace") == pem):
            out.write_text(pem)
            answer["changed"] = True
        return {
            **answer,
            "serial_number": certificate.serial_number,
            "subject": certificate.subject_name,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "thumbprint": certificate.thumbprint,
            "fingerprint_sha256": certificate.fingerprint_sha256,
            "certificate": pem,
        }
