"""Fields of forms that several pages have: values line by line, and who may ask a CA.

Owns how such values are typed in. What they may be is the services' matter.
"""

from __future__ import annotations

from typing import Any

from django import forms

from portal.access.models import User


class LinesField(forms.CharField):
    """Several values, one per line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False,
            max_length=20_000,
            widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
            **options,
        )

    def clean(self, value: Any) -> list[str]:
        text: str = super().clean(value)
        return [line.strip() for line in text.splitlines() if line.strip()]


class PairsField(LinesField):
    """Several ``key=value``, one per line."""

    def clean(self, value: Any) -> list[tuple[str, str]]:  # type: ignore[override]
        pairs = []
        for line in super().clean(value):
            key, equals, rest = line.partition("=")
            if not equals or not key.strip():
                raise forms.ValidationError(f"“{line[:60]}” is not key=value.")
            pairs.append((key.strip(), rest.strip()))
        return pairs


class RequestersField(LinesField):
    """Who alone may ask a CA or use a template, one username per line; none: everybody."""

    def clean(self, value: Any) -> list[User]:  # type: ignore[override]
        names = list(dict.fromkeys(super().clean(value)))
        users = {user.username: user for user in User.objects.filter(username__in=names)}
        for name in names:
            if name not in users:
                raise forms.ValidationError(f"There is no user “{name[:60]}”.")
        return [users[name] for name in names]
