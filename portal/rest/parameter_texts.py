"""What each query parameter and header of the API means: one table for the documentation. PURE.

Owns names, types and sentences. Which view reads which is declared there; a parameter without a row
here has no place in the document, and its view fails the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ParameterText(NamedTuple):
    """A query parameter as it is documented; it is read in any case."""

    name: str
    schema: Mapping[str, Any]
    about: str
    is_required: bool = False


_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def _number(least: int, most: int | None = None) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, **({"maximum": most} if most else {})}


PARAMETERS: Mapping[str, ParameterText] = {
    text.name.lower(): text
    for text in (
        ParameterText("QueryString", _TEXT, "Filter in the query language."),
        ParameterText(
            "ReturnLimit", _number(1), "Rows of a page; 50 unless told, and never more than 1,000."
        ),
        ParameterText("PageReturned", _number(1), "Number of the page, from 1."),
        ParameterText("SkipCount", _number(0), "Rows to leave out first."),
        ParameterText("SortField", _TEXT, "One of the resource's orders."),
        ParameterText(
            "SortAscending",
            {"type": "integer", "enum": [0, 1]},
            "0 is ascending, 1 is descending.",
        ),
        ParameterText("cursor", _TEXT, "The value of X-Next-Cursor of the page before."),
        ParameterText(
            "includeRenewal", _FLAG, "Adds what the portal knows of the certificate's renewal."
        ),
        ParameterText("CollectionId", _number(0, 0), "There are no collections: 0 or left out."),
        ParameterText("ContainerId", _number(0), "There are no containers: 0 or left out."),
        ParameterText("includeLocations", _FLAG, "Taken and without effect."),
        ParameterText("includeMetadata", _FLAG, "Taken and without effect."),
        ParameterText("includeHasPrivateKey", _FLAG, "Taken and without effect."),
        ParameterText("verbose", _number(0), "Taken and without effect."),
        ParameterText("includeRevoked", _FLAG, "Lists revoked certificates too."),
        ParameterText("includeExpired", _FLAG, "Lists expired certificates too."),
        ParameterText("force", _FLAG, "Removes what depends on it too."),
        ParameterText("jobHistoryId", _number(1), "Number of the finished job.", is_required=True),
        ParameterText("forceEnroll", _FLAG, "Taken and without effect."),
        ParameterText("accountName", _TEXT, "Name of a user.", is_required=True),
        ParameterText("after", _number(0), "The value of X-Next-Cursor of the page before."),
        ParameterText(
            "tab",
            {"type": "string", "enum": ["waiting", "mine", "all", "done"]},
            "A list of the inbox: waiting for the caller, the caller's, all open, done.",
        ),
        ParameterText(
            "dry_run", _FLAG, "Says what the call would change and ask a CA, and does neither."
        ),
    )
}

HEADERS: Mapping[str, str] = {
    "x-certificateformat": "Format of the file: PEM, DER, P7B or CRT; in any case.",
    "Idempotency-Key": "A call with the same key is done once; its reply is kept for 24 hours.",
    "If-Match": "The ETag of what was seen: 412 if it has changed since.",
    "Prefer": "respond-async: the call becomes a job, and the reply is 202 with its Location.",
    "ETag": "Version of what the reply shows, for If-Match.",
    "Link": "The next page (rel=next), if there is one.",
    "X-Next-Cursor": "Cursor of the next page, if there is one.",
    "X-Request-ID": "Id of this request, as in the audit log.",
    "RateLimit": "What is left of each quota, and for how many seconds.",
    "RateLimit-Policy": "The quotas: calls in a window of seconds.",
    "Location": "Where the job can be watched.",
    "Preference-Applied": "respond-async.",
    "Idempotency-Replayed": "true if the reply is that of an earlier call with the same key.",
}
