"""How a person wants a list: columns, density, the views that they saved, and which opens first.

Owns the limits of both. Which columns a list has, and what a query means, is the list's. A person's
own taste is no change of the portal's state, so it is not in the audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from portal.preferences.models import Layout, SavedView

MOST_VIEWS = 50
LONGEST_NAME = 60
LONGEST_QUERY = 2000


class ViewRefused(ValueError):
    """A view cannot be saved; the message is for the person."""


def views_of(user: Any, page: str) -> list[SavedView]:
    """Return a person's views of a list, by name."""
    return list(SavedView.objects.filter(user=user.pk, page=page).order_by("name"))


def default_of(user: Any, page: str) -> SavedView | None:
    """Return the view that a person's list opens with, if they chose one."""
    return SavedView.objects.filter(user=user.pk, page=page, is_default=True).first()


@transaction.atomic
def save_view(
    user: Any, page: str, name: str, query: str, *, now: datetime
) -> tuple[SavedView, bool]:
    """Save a view; return it and whether it is new: one of the same name is replaced.

    Raises ViewRefused.
    """
    word = _name_in(name)
    if len(query) > LONGEST_QUERY:
        raise ViewRefused("The filters are too long to be saved.")
    others = SavedView.objects.filter(user=user.pk, page=page).exclude(name=word)
    if others.count() >= MOST_VIEWS:
        raise ViewRefused(f"You have {MOST_VIEWS} views of this list: delete one first.")
    return SavedView.objects.update_or_create(
        user_id=user.pk, page=page, name=word, defaults={"query": query, "created_at": now}
    )


def rename_view(user: Any, page: str, pk: int, name: str) -> str | None:
    """Rename one of a person's own views; return its name, None if there is no such view.

    Raises ViewRefused.
    """
    word = _name_in(name)
    try:
        with transaction.atomic():
            rows = SavedView.objects.filter(user=user.pk, page=page, pk=pk)
            return word if rows.update(name=word) else None
    except IntegrityError:
        raise ViewRefused(f"You have another view that is called “{word}”.") from None


@transaction.atomic
def set_default(user: Any, page: str, pk: int, *, is_default: bool) -> SavedView | None:
    """Let a list open with one of a person's own views, or with it no longer.

    Return the view; None if there is no such view.
    """
    # All of them locked, in one order: of two choices at once the later one stands.
    rows = SavedView.objects.filter(user=user.pk, page=page)
    views = {view.pk: view for view in rows.select_for_update().order_by("pk")}
    if (view := views.get(pk)) is None:
        return None
    view.is_default = is_default
    others = rows.filter(is_default=True).exclude(pk=pk) if is_default else rows.none()
    others.update(is_default=False)
    view.save(update_fields=["is_default"])
    return view


def delete_view(user: Any, page: str, pk: int) -> bool:
    """Delete one of a person's own views; say whether there was one."""
    return bool(SavedView.objects.filter(user=user.pk, page=page, pk=pk).delete()[0])


def _name_in(text: str) -> str:
    word = " ".join(text.split())
    if not word or len(word) > LONGEST_NAME or not word.isprintable():
        raise ViewRefused(f"A view needs a name of at most {LONGEST_NAME} characters.")
    return word


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
