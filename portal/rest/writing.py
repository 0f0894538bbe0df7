"""What every write of the API can be asked for besides: a dry run, once only, only if unchanged,
as a job.

Owns which of these a write is asked for, Idempotency-Key and Prefer: respond-async; each works for
any view that declares what it needs (`base.ApiView`). Dry runs are `dry_run.py`'s, If-Match is
`versions.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from portal.rest import dry_run, listed_acts, paging, versions
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Ask
from portal.rest.errors import ApiError
from portal.rest.jobs_response import BulkJobResponse, bulk_job_response
from portal.rest.models import KEPT_FOR, KeptReply

if TYPE_CHECKING:
    from portal.rest.base import ApiView

Act = Callable[..., Response]
_LONGEST_KEY = 255


def perform(view: ApiView, act: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
    """Do a write as it was asked for. Raises ApiError."""
    versions.refuse_unless_taken(view, request)
    listed = view.listed_act(request) if _needs_list(view, request) else None
    if "dry_run" in view.taken_parameters() and paging.flag(view.given, "dry_run"):
        if listed is not None:
            return dry_run.foreseen(listed, request)
        if (changes := view.foretell(request)) is not None:
            return dry_run.told(changes)
        return dry_run.tried(
            lambda: _rehearsed(view, act, request, *args, **kwargs),
            lambda: view.concerned(request, *args, **kwargs),
        )

    def do() -> Response:
        if listed is not None:
            return _watched(bulk_job_response(listed_acts.submitted(listed, request)))
        return versions.matched(view, act, request, *args, **kwargs)

    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    return do() if key is None else _once(view, key, request, do)


def _rehearsed(view: ApiView, act: Act, request: Request, *args: Any, **kwargs: Any) -> list[Ask]:
    asks: list[Ask] = []

    def rehearse(request: Request, *args: Any, **kwargs: Any) -> Response:
        asks.extend(view.rehearse(act, request, *args, **kwargs))
        return Response()

    versions.matched(view, rehearse, request, *args, **kwargs)
    return asks


def _needs_list(view: ApiView, request: Request) -> bool:
    if not view.has_order:
        return False
    return paging.flag(view.given, "dry_run") or _prefers_job(request)


def _prefers_job(request: Request) -> bool:
    entries = request.META.get("HTTP_PREFER", "").lower().split(",")
    return any(entry.partition(";")[0].strip() == "respond-async" for entry in entries)


def _watched(job: BulkJobResponse) -> Response:
    """Say where a job can be watched."""
    headers = {
        "Location": f"/KeyfactorAPI/BulkJobs/{job['Id']}",
        "Preference-Applied": "respond-async",
    }
    return Response(job, status=202, headers=headers)


def _once(view: ApiView, key: str, request: Request, act: Callable[[], Response]) -> Response:
    """Act, unless a call with this key did; then its reply is told again.

    Where a write is in the database alone, it and its reply are one transaction: of two calls at
    once the second waits for the first. A write that asks somebody outside is marked first; if the
    process dies meanwhile, nobody knows whether it was done, and that is what is said.
    """
    if not view.keeps_replies:
        raise ApiError(
            ErrorCode.HEADER_INVALID, "This call takes no Idempotency-Key: its reply is not kept."
        )
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise ApiError(
            ErrorCode.HEADER_INVALID, f"Idempotency-Key has 1 to {_LONGEST_KEY} characters."
        )
    now = timezone.now()
    mine = KeptReply.objects.filter(user=request.user.pk)
    mine.filter(created_at__lt=now - KEPT_FOR).delete()
    row = KeptReply(
        user_id=request.user.pk,
        key_digest=hashlib.sha256(key.encode()).hexdigest(),
        fingerprint=_fingerprint(request),
        created_at=now,
    )
    with ExitStack() as whole:
        if view.in_database:
            whole.enter_context(transaction.atomic())
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            return _told_again(mine.get(key_digest=row.key_digest), row.fingerprint)
        try:
            response = act()
        except APIException:
            if not view.in_database:
                row.delete()
            raise
        row.status, row.body = response.status_code, response.data
        row.save(update_fields=["status", "body"])
    return response


def _told_again(kept: KeptReply, fingerprint: str) -> Response:
    if kept.fingerprint != fingerprint:
        raise ApiError(
            ErrorCode.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key belongs to another call."
        )
    if kept.status is None:
        raise ApiError(
            ErrorCode.IDEMPOTENCY_UNFINISHED,
            "The first call with this key has not ended: whether it was done is not known yet.",
        )
    job: Any = kept.body
    response = _watched(job) if kept.status == 202 else Response(kept.body, kept.status)
    response["Idempotency-Replayed"] = "true"
    return response


def _fingerprint(request: Request) -> str:
    asked = [request.path, sorted(request.query_params.lists()), _prefers_job(request)]
    told = [request.method, *asked, request.data]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
