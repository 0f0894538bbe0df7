"""Rows that are read along with others, for a word or two of theirs. Owns what is left unread."""

from __future__ import annotations

from django.db.models import Model


def all_but(path: str, model: type[Model], *read: str) -> list[str]:
    """Return the columns of a relation that a list does not read, as `defer` takes them.

    ``path``: the relation's name. The key is always read. Most of what a page of fifty rows costs
    the database's driver are columns of what its rows belong to.
    """
    kept = {*read, model._meta.pk.name}
    return [f"{path}__{each.name}" for each in model._meta.concrete_fields if each.name not in kept]
