"""``manage.py server_certificate``: the certificate of the embedded TLS server.

Owns the flags and the file of roots that orchestrators verify the server with. When it is due is
`renewal/own_certificates.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand, the_authority
from renewal import issuers, own_certificates
from renewal.authority_trust import write_ca_file
from renewal.ca.local import LocalCA
from renewal.x509.names import NameInvalid, SanKind, canonical_dns, canonical_ip


class Command(JSONCommand):
    help = "Make the TLS server's certificate, unless it is good for these names already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--authority", required=True, help="a local CA")
        parser.add_argument(
            "--name",
            action="append",
            dest="names",
            required=True,
            help="a host name or address; repeatable",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        authority = the_authority(options["authority"])
        if not isinstance(issuers.backend(authority), LocalCA):
            raise CommandFailed(
                "not_local", "Only a local CA signs the portal's own server certificate."
            )
        names = [_checked(name) for name in options["names"]]
        changed = own_certificates.ensure_server_certificate(authority, names, now=now)
        changed |= write_ca_file(authority, replaces=changed)
        current = own_certificates.read_server_certificate()
        if current is None:
            raise CommandFailed("internal", "The server certificate cannot be read back.")
        certificate_file, key_file = own_certificates.server_files()
        return {
            "changed": changed,
            "names": [value for kind, value in current.sans if kind in (SanKind.DNS, SanKind.IP)],
            "serial_number": current.serial_number,
            "not_after": current.not_after.isoformat(),
            "certificate_file": str(certificate_file),
            "key_file": str(key_file),
            "ca_file": str(settings.CONFIG.ca_file),
        }


def _checked(name: str) -> str:
    for canonical in (canonical_ip, canonical_dns):
        try:
            return canonical(name)
        except NameInvalid:
            continue
    raise CommandFailed("name_invalid", f"{name!a} is neither a host name nor an address.")
