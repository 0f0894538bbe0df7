"""What a refused change of access is called in a reply. PURE.

Owns the codes for the reasons of `portal/access/guard.py`'s refusals.
"""

from __future__ import annotations

from portal.access.guard import AccountRefused
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError

_REASONS = {
    "beyond_own_permissions": ErrorCode.BEYOND_OWN_PERMISSIONS,
    "last_administrator": ErrorCode.LAST_ADMINISTRATOR,
    "role_name_taken": ErrorCode.NAME_TAKEN,
    "username_taken": ErrorCode.NAME_TAKEN,
    "unknown_role": ErrorCode.ROLE_UNKNOWN,
    "token_scope_unknown": ErrorCode.VALUE_INVALID,
    "token_network_invalid": ErrorCode.VALUE_INVALID,
    "token_invalid": ErrorCode.VALUE_INVALID,
    "role_invalid": ErrorCode.VALUE_INVALID,
    "username_invalid": ErrorCode.VALUE_INVALID,
    "email_invalid": ErrorCode.VALUE_INVALID,
}


def account_error(refused: AccountRefused) -> ApiError:
    """Return the error for a refusal."""
    return ApiError(_REASONS.get(refused.reason, ErrorCode.ACCESS_REFUSED), str(refused))
