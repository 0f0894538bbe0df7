"""Finding orchestrators by the client parameters that they sent (S4 in docs/promises.md).

Owns the condition on ``client_parameters`` of either database; PostgreSQL has an index for it.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact


def sent(text: str) -> Q:
    """Return the condition that ``name=value`` was sent, or ``name`` alone with any value."""
    name, is_pair, value = text.partition("=")
    if not is_pair:
        return Q(client_parameters__has_key=name)
    if connection.features.supports_json_field_contains:
        return Q(client_parameters__contains={name: value})
    # A name that is missing is no value at all, whose negation would be none either.
    has_it = Q(client_parameters__has_key=name)
    return has_it & Q(Exact(KeyTextTransform(name, "client_parameters"), value))
