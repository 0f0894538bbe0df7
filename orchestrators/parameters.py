"""Finding orchestrators by the client parameters that they sent (S4 in docs/promises.md).

Owns the condition on ``client_parameters`` of either database; PostgreSQL has an index for it.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import BooleanField, F, Func, Q, Value


def sent(text: str) -> Q:
    """Return the condition that ``name=value`` was sent, or ``name`` alone with any value."""
    name, is_pair, value = text.partition("=")
    if not connection.features.supports_json_field_contains:
        member = Func(Value(name), Value(value), template="%(expressions)s") if is_pair else name
        return Q(_HasMember(member, columns="key, value" if is_pair else "key"))
    if not is_pair:
        return Q(client_parameters__has_key=name)
    return Q(client_parameters__contains={name: value})


class _HasMember(Func):
    """Whether the parameters have a member, on SQLite.

    Django's own look-ups write the name into a JSON path, where a number is a list's index and
    quotes cannot be escaped.
    """

    template = "EXISTS(SELECT 1 FROM JSON_EACH(%(expressions)s))"
    output_field = BooleanField()

    def __init__(self, member: Func | str, columns: str) -> None:
        wanted = Value(member) if isinstance(member, str) else member
        super().__init__(F("client_parameters"), wanted, arg_joiner=f") WHERE ({columns}) = (")
