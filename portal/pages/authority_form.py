"""The form of a certificate authority: one field for each option of its type.

Owns how options are typed in and shown to be changed, and that a secret goes in and never comes
out. What an option may be is judged by the type, and what a CA may be by `renewal/authorities.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import BadRequest

from portal.pages.form_fields import RequestersField
from renewal import authorities, issuers
from renewal.authorities import LOCAL, OF_THE_HOST, Wanted
from renewal.ca.base import Option
from renewal.models import CertificateAuthority
from renewal.x509.keys import DEFAULT_KEY_TYPE, KEY_TYPES

_MOST_CHARACTERS = 20_000
_IN_CAPITALS = frozenset({"api", "ca", "crl", "csr", "id", "tls", "url"})
_NAMED = re.compile(r"option '([^']+)'")
_KEYS = {
    "EC-P256": "EC-P256: small and fast, the usual choice",
    "EC-P384": "EC-P384",
    "EC-P521": "EC-P521",
    "RSA-2048": "RSA-2048: for old orchestrators that know no other",
    "RSA-3072": "RSA-3072",
    "RSA-4096": "RSA-4096",
    "Ed25519": "Ed25519: not known to every orchestrator",
}
_ADDRESSES = {
    "crl_url": "Stands in each certificate: where others find its revocation list. ",
    "issuer_url": "Stands in each certificate: where others find the issuing certificate. ",
}


class AuthorityForm(forms.Form):
    """A new certificate authority, or one that is there, of one type.

    Raises CAMisconfigured if there is no code for the type.
    """

    name = forms.CharField(
        label="Name",
        max_length=100,
        help_text="It stays: it stands in the addresses of its revocation list. Up to 100 "
        "characters, no slash.",
    )
    key_type = forms.ChoiceField(
        label="Keys of the CA",
        choices=[(name, _KEYS[name]) for name in KEY_TYPES],
        initial=DEFAULT_KEY_TYPE,
        help_text="Of its root and of what issues. They are made now, and stay.",
    )
    hold_seconds = forms.IntegerField(
        label="A Register waits for it at most (seconds)",
        min_value=0,
        max_value=authorities.MOST_HOLD_SECONDS,
        initial=25,
        help_text="Keep it below the time limit of a proxy before the portal. A CA that is "
        "slower cannot serve orchestrators that drop their key while they wait.",
    )
    requesters = RequestersField(
        label="Who may ask it",
        help_text="Usernames of service accounts or people, one per line. Empty: everybody who "
        "may enrol.",
    )
    trust = forms.BooleanField(
        label="Trust its certificates",
        required=False,
        initial=True,
        help_text="An orchestrator may prove with them who it is. Without that, what this CA "
        "issues opens no session.",
    )
    revision = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(
        self,
        *args: Any,
        alias: str,
        row: CertificateAuthority | None = None,
        may_trust: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.alias, self.row = alias, row
        schema: tuple[Option, ...] = issuers.type_class(alias).options_schema
        hidden = OF_THE_HOST if alias == LOCAL else frozenset()
        self.options = {each.name: each for each in schema if each.name not in hidden}
        stored = issuers.stored_secrets(row) if row else frozenset()
        for each in self.options.values():
            self.fields[f"option-{each.name}"] = _field(
                each, alias, is_new=row is None, is_stored=each.name in stored
            )
        if row is not None or not may_trust:
            del self.fields["trust"]
        if row is not None or alias != LOCAL:
            del self.fields["key_type"]
        if row is not None:
            del self.fields["name"]

    @property
    def first(self) -> list[forms.BoundField]:
        """What has to be said."""
        named = [name for name in ("name", "key_type") if name in self.fields]
        needed = [each.name for each in self.options.values() if each.is_required]
        return [self[name] for name in (*named, *(f"option-{name}" for name in needed))]

    @property
    def more(self) -> list[forms.BoundField]:
        """What may be left as it is."""
        names = [f"option-{each.name}" for each in self.options.values() if not each.is_required]
        return [self[name] for name in (*names, "hold_seconds", "requesters")]

    @property
    def has_more_errors(self) -> bool:
        return any(field.errors for field in self.more)

    @property
    def has_typed_secrets(self) -> bool:
        secrets = [name for name, each in self.options.items() if each.is_secret]
        return any(self.cleaned_data.get(f"option-{name}") for name in secrets)

    def check_names(self, sent: Mapping[str, Any]) -> None:
        """Raise BadRequest for a field that this type has not."""
        taken = {*self.fields, "type", "options", "trial", "csrfmiddlewaretoken"}
        for name in sent:
            if name not in taken:
                raise BadRequest(f"The form has no field {name[:60]!r}.")

    def typed_options(self) -> dict[str, Any]:
        """Return the options that were typed in; what was left empty stays, or is the default."""
        known = self.row.options if self.row is not None else {}
        typed: dict[str, Any] = {}
        for name, each in self.options.items():
            value = self.cleaned_data[f"option-{name}"]
            if value not in ("", None):
                typed[name] = value
            elif not each.is_secret and known.get(name) not in ("", None):
                typed[name] = "" if each.kind is str else None
        return typed

    def wanted(self) -> Wanted:
        """Return the CA that was typed in."""
        said = self.cleaned_data
        return Wanted(
            name=self.row.name if self.row is not None else said["name"],
            type=self.alias,
            options=self.typed_options(),
            hold_seconds=said["hold_seconds"],
            allowed_requesters=said["requesters"],
            is_new=self.row is None,
            expected=None if self.row is None else said["revision"],
        )

    def refuse(self, problem: Exception) -> None:
        """Show what was refused, beside the option that it names."""
        named = _NAMED.search(str(problem))
        field = f"option-{named[1]}" if named else ""
        text = str(problem)
        self.add_error(
            field if field in self.fields else None, text[:1].upper() + text[1:].rstrip(".") + "."
        )


def initial(row: CertificateAuthority) -> dict[str, Any]:
    """Return a CA as its form shows it first: never a secret."""
    shown = {f"option-{name}": value for name, value in issuers.shown_options(row).items()}
    requesters = row.allowed_requesters.order_by("username").values_list("username", flat=True)
    return {
        **shown,
        "hold_seconds": row.hold_seconds,
        "requesters": "\n".join(requesters),
        "revision": issuers.revision(row),
    }


def label_of(name: str) -> str:
    """Return an option's name as a label."""
    words = [word.upper() if word in _IN_CAPITALS else word for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _field(option: Option, alias: str, *, is_new: bool, is_stored: bool) -> forms.Field:
    said = option.description[:1].upper() + option.description[1:].rstrip(".") + "."
    if alias == LOCAL and option.name in _ADDRESSES:
        otherwise = "this portal's own address" if is_new else "none stands there"
        said = f"{_ADDRESSES[option.name]}Empty: {otherwise}."
    common: dict[str, Any] = {
        "label": label_of(option.name),
        "required": option.is_required and not is_stored,
        "initial": None if option.is_secret else option.default,
        "help_text": said,
    }
    if option.is_secret:
        # A browser must not offer what it knows, and the page never shows what is stored.
        shown = {"autocomplete": "new-password", "spellcheck": "false"}
        common["widget"] = forms.PasswordInput(attrs=shown, render_value=False)
        kept = " One is stored and never shown; empty keeps it." if is_stored else ""
        common["help_text"] = f"{said} Kept encrypted, never shown again.{kept}"
        if is_stored:
            common["help_text"] = f"{said}{kept}"
    if option.kind is bool:
        return forms.BooleanField(**{**common, "required": False})
    if option.kind is int:
        return forms.IntegerField(**common)
    if option.choices:
        empty = [] if common["required"] else [("", "not set")]
        return forms.ChoiceField(
            **common, choices=[*empty, *((each, each) for each in option.choices)]
        )
    return forms.CharField(**common, max_length=_MOST_CHARACTERS, strip=not option.is_secret)
