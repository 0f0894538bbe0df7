"""How a person wants a list: columns, density, and views that they saved.

Owns the limits of both. Which columns a list has, and what a query means, is the list's. A person's
own taste is no change of the portal's state, so it is not in the audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from portal.preferences.models import Layout, SavedView

MOST_VIEWS = 50
LONGEST_NAME = 60
LONGEST_QUERY = 2000


class ViewRefused(ValueError):
    """A view cannot be saved; the message is for the person."""


def views_of(user: Any, page: str) -> list[SavedView]:
    """Return a person's views of a list, by name."""
    return list(SavedView.objects.filter(user=user.pk, page=page).order_by("name"))


@transaction.atomic
def save_view(
    user: Any, page: str, name: str, query: str, *, now: datetime
) -> tuple[SavedView, bool]:
    """Save a view; return it and whether it is new: one of the same name is replaced.

    Raises ViewRefused.
    """
    word = " ".join(name.split())
    if not word or len(word) > LONGEST_NAME or not word.isprintable():
        raise ViewRefused(f"A view needs a name of at most {LONGEST_NAME} characters.")
    if len(query) > LONGEST_QUERY:
        raise ViewRefused("The filters are too long to be saved.")
    others = SavedView.objects.filter(user=user.pk, page=page).exclude(name=word)
    if others.count() >= MOST_VIEWS:
        raise ViewRefused(f"You have {MOST_VIEWS} views of this list: delete one first.")
    return SavedView.objects.update_or_create(
        user_id=user.pk, page=page, name=word, defaults={"query": query, "created_at": now}
    )


def delete_view(user: Any, page: str, pk: int) -> bool:
    """Delete one of a person's own views; say whether there was one."""
    return bool(SavedView.objects.filter(user=user.pk, page=page, pk=pk).delete()[0])


def layout_of(user: Any, page: str) -> Layout | None:
    """Return a person's layout of a list; none means the default."""
    return Layout.objects.filter(user=user.pk, page=page).first()


def save_layout(user: Any, page: str, columns: Sequence[str], *, is_compact: bool) -> None:
    """Keep a person's layout of a list."""
    Layout.objects.update_or_create(
        user_id=user.pk,
        page=page,
        defaults={"columns": list(columns), "is_compact": is_compact},
    )


def forget_layout(user: Any, page: str) -> None:
    """Go back to the default."""
    Layout.objects.filter(user=user.pk, page=page).delete()
