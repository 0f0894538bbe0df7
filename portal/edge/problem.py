"""The members of an error body of the REST API: what existing clients read, and RFC 9457's.

Owns the shape, for refusals at the edge as for those of the API. Codes and their titles are
`portal/rest/codes.py`'s.
"""

from __future__ import annotations

from typing import Any

_NAMESPACE = "urn:orchestrator-certificate-portal"


def problem(code: str, title: str, message: str, status: int, *, request_id: str) -> dict[str, Any]:
    """Return the body; ``message`` is a sentence for a person."""
    return {
        "Message": message,
        "ErrorCode": code,
        "type": f"{_NAMESPACE}:error:{code}",
        "title": title,
        "status": status,
        "detail": message,
        "instance": f"{_NAMESPACE}:request:{request_id}",
    }
