"""How long the database may work on one page of a list.

Owns the limit. It bounds reads alone: an act is never cut off. SQLite has none; it serves small
fleets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from portal.rest.paging import Listing, PageRequest

MILLISECONDS = 5000
_QUERY_CANCELED = "57014"
"""SQLSTATE (PostgreSQL, appendix A)."""


@contextmanager
def unless_light(rows: QuerySet[Any], wanted: PageRequest, listing: Listing[Any]) -> Iterator[None]:
    """Bound the statements of a page, unless it takes all rows in the order of an index.

    Raises ApiError for one that was cut off.
    """
    key = listing.key(wanted.sort)
    is_light = not rows.query.where and key is not None and key.is_indexed
    if is_light or connection.vendor != "postgresql":
        yield
        return
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {MILLISECONDS}")
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _QUERY_CANCELED:
            raise
        raise ApiError(
            ErrorCode.QUERY_TOO_SLOW,
            f"The database was stopped after {MILLISECONDS / 1000:g} s: no index serves the query "
            "or its order. Narrow it by a field that has one, or sort by another.",
        ) from None
