"""Every error code of the REST API: its HTTP status and its title. PURE.

Codes are stable: clients may compare them. The sentence for a person is made where the error is
raised; agents have codes of their own (`orchestrators/protocol/codes.py`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ErrorCode(StrEnum):
    """Value of ``ErrorCode`` in an error body."""

    REQUESTED_WITH_MISSING = "requested_with_missing"
    API_VERSION_UNKNOWN = "api_version_unknown"
    REQUEST_UNREADABLE = "request_unreadable"
    REQUEST_LINE_TOO_LONG = "request_line_too_long"
    LENGTH_REQUIRED = "length_required"
    CONTENT_TYPE_UNKNOWN = "content_type_unknown"
    CONTENT_ENCODING_UNKNOWN = "content_encoding_unknown"
    NOT_ACCEPTABLE = "not_acceptable"

    HEADER_INVALID = "header_invalid"
    PRECONDITION_FAILED = "precondition_failed"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    IDEMPOTENCY_UNFINISHED = "idempotency_unfinished"

    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_DEEP = "body_too_deep"
    BODY_NOT_JSON = "body_not_json"
    BODY_WRONG_SHAPE = "body_wrong_shape"
    MEMBER_UNKNOWN = "member_unknown"
    MEMBER_MISSING = "member_missing"
    MEMBER_REPEATED = "member_repeated"
    VALUE_INVALID = "value_invalid"
    LIST_EMPTY = "list_empty"
    LIST_TOO_LONG = "list_too_long"

    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_REPEATED = "parameter_repeated"
    PARAMETER_INVALID = "parameter_invalid"
    PAGE_TOO_DEEP = "page_too_deep"
    CURSOR_INVALID = "cursor_invalid"
    QUERY_INVALID = "query_invalid"
    QUERY_TOO_LARGE = "query_too_large"
    QUERY_TOO_SLOW = "query_too_slow"
    QUERY_FIELD_UNKNOWN = "query_field_unknown"
    QUERY_OPERATOR_UNKNOWN = "query_operator_unknown"
    QUERY_VALUE_INVALID = "query_value_invalid"

    NOT_AUTHENTICATED = "not_authenticated"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_IN_LOCKED = "sign_in_locked"
    TOO_MANY_REQUESTS = "too_many_requests"
    PERMISSION_MISSING = "permission_missing"
    CSRF_FAILED = "csrf_failed"
    BEYOND_OWN_PERMISSIONS = "beyond_own_permissions"
    TOKEN_MAKES_NO_TOKEN = "token_makes_no_token"  # noqa: S105 (a code)

    ORCHESTRATOR_UNKNOWN = "orchestrator_unknown"
    SETTING_UNKNOWN = "setting_unknown"
    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 (a code)
    ROLE_UNKNOWN = "role_unknown"
    RULE_UNKNOWN = "rule_unknown"
    RULE_CHANGED = "rule_changed"
    IDENTITY_UNKNOWN = "identity_unknown"
    LAST_ADMINISTRATOR = "last_administrator"
    ACCESS_REFUSED = "access_refused"
    CERTIFICATE_UNKNOWN = "certificate_unknown"
    CERTIFICATE_UNREADABLE = "certificate_unreadable"
    AUTHORITY_UNKNOWN = "authority_unknown"
    TEMPLATE_UNKNOWN = "template_unknown"
    CSR_REFUSED = "csr_refused"
    NAME_NOT_COVERED = "name_not_covered"
    NAMES_OF_RECORD = "names_of_record"
    KEY_REUSE = "key_reuse"
    REQUESTER_NOT_ALLOWED = "requester_not_allowed"
    ENROLLMENT_UNKNOWN = "enrollment_unknown"
    ENROLLMENT_FAILED = "enrollment_failed"
    NOT_DISAPPROVED = "not_disapproved"
    HAS_JOBS = "has_jobs"
    DELETION_FORBIDDEN = "deletion_forbidden"
    JOB_UNKNOWN = "job_unknown"
    REQUEST_UNKNOWN = "request_unknown"
    GROUP_UNKNOWN = "group_unknown"
    ISSUER_UNKNOWN = "issuer_unknown"
    CREDENTIAL_UNKNOWN = "credential_unknown"
    AUTHORITY_INVALID = "authority_invalid"
    TEMPLATE_INVALID = "template_invalid"
    IN_USE = "in_use"
    AUDIT_ENTRY_UNKNOWN = "audit_entry_unknown"
    NOT_SEALED = "not_sealed"
    NOBODY_SEEN = "nobody_seen"
    CONFLICT = "conflict"
    CHANGED = "changed"
    NAME_TAKEN = "name_taken"
    APPROVAL_FORBIDDEN = "approval_forbidden"
    ACT_REFUSED = "act_refused"

    ENDPOINT_UNKNOWN = "endpoint_unknown"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    DATABASE_DOWN = "database_down"
    INTERNAL = "internal"


class CodeText(NamedTuple):
    """HTTP status and title (RFC 9457 §3.1) of a code."""

    status: int
    title: str


C = ErrorCode
CODES: dict[ErrorCode, CodeText] = {
    C.REQUESTED_WITH_MISSING: CodeText(400, "The header x-keyfactor-requested-with is missing"),
    C.API_VERSION_UNKNOWN: CodeText(400, "This version of the API is not served"),
    C.REQUEST_UNREADABLE: CodeText(400, "The request cannot be read"),
    C.REQUEST_LINE_TOO_LONG: CodeText(414, "The path and its parameters are too long"),
    C.LENGTH_REQUIRED: CodeText(411, "The length of the body is not given"),
    C.CONTENT_TYPE_UNKNOWN: CodeText(415, "The body is not sent as JSON"),
    C.CONTENT_ENCODING_UNKNOWN: CodeText(415, "The body is compressed"),
    C.NOT_ACCEPTABLE: CodeText(406, "Replies are JSON"),
    C.HEADER_INVALID: CodeText(400, "A header has a value that is not taken"),
    C.PRECONDITION_FAILED: CodeText(412, "It has changed since it was read"),
    C.IDEMPOTENCY_KEY_REUSED: CodeText(422, "The Idempotency-Key belongs to another call"),
    C.IDEMPOTENCY_UNFINISHED: CodeText(409, "The first call with this key has not ended"),
    C.BODY_TOO_LARGE: CodeText(413, "The body is too large"),
    C.BODY_TOO_DEEP: CodeText(400, "The body is nested too deeply"),
    C.BODY_NOT_JSON: CodeText(400, "The body is not JSON"),
    C.BODY_WRONG_SHAPE: CodeText(400, "The body has another shape than expected"),
    C.MEMBER_UNKNOWN: CodeText(400, "The body has a member that is not known"),
    C.MEMBER_MISSING: CodeText(400, "The body lacks a member"),
    C.MEMBER_REPEATED: CodeText(400, "The body has a member twice"),
    C.VALUE_INVALID: CodeText(400, "A value is not one of those that are taken"),
    C.LIST_EMPTY: CodeText(400, "The list is empty"),
    C.LIST_TOO_LONG: CodeText(400, "The list is too long"),
    C.PARAMETER_UNKNOWN: CodeText(400, "A query parameter is not known"),
    C.PARAMETER_REPEATED: CodeText(400, "A query parameter is given twice"),
    C.PARAMETER_INVALID: CodeText(400, "A query parameter has a value that is not taken"),
    C.PAGE_TOO_DEEP: CodeText(400, "The page is too deep: use the cursor"),
    C.CURSOR_INVALID: CodeText(400, "The cursor is not one of this query"),
    C.QUERY_INVALID: CodeText(400, "The query cannot be parsed"),
    C.QUERY_TOO_LARGE: CodeText(400, "The query is too large"),
    C.QUERY_TOO_SLOW: CodeText(400, "The query would take too long"),
    C.QUERY_FIELD_UNKNOWN: CodeText(400, "The query names an unknown field"),
    C.QUERY_OPERATOR_UNKNOWN: CodeText(400, "The query uses an operator that the field lacks"),
    C.QUERY_VALUE_INVALID: CodeText(400, "The query compares with a value of another type"),
    C.NOT_AUTHENTICATED: CodeText(401, "Sign-in is needed"),
    C.SIGN_IN_FAILED: CodeText(401, "Sign-in failed"),
    C.SIGN_IN_LOCKED: CodeText(429, "Sign-in is locked for a while"),
    C.TOO_MANY_REQUESTS: CodeText(429, "Too many requests"),
    C.PERMISSION_MISSING: CodeText(403, "A permission is missing"),
    C.CSRF_FAILED: CodeText(403, "The page's CSRF token is missing or wrong"),
    C.BEYOND_OWN_PERMISSIONS: CodeText(403, "Nobody gives more than they have"),
    C.TOKEN_MAKES_NO_TOKEN: CodeText(403, "A token makes no other token"),
    C.ORCHESTRATOR_UNKNOWN: CodeText(404, "There is no such orchestrator"),
    C.SETTING_UNKNOWN: CodeText(404, "There is no such setting"),
    C.TOKEN_UNKNOWN: CodeText(404, "There is no such token"),
    C.ROLE_UNKNOWN: CodeText(404, "There is no such role"),
    C.RULE_UNKNOWN: CodeText(404, "There is no such rule"),
    C.RULE_CHANGED: CodeText(400, "The rules changed meanwhile"),
    C.IDENTITY_UNKNOWN: CodeText(404, "There is no such identity"),
    C.LAST_ADMINISTRATOR: CodeText(400, "Nobody would be left who can manage access"),
    C.ACCESS_REFUSED: CodeText(400, "Access cannot be changed like this"),
    C.CERTIFICATE_UNKNOWN: CodeText(404, "There is no such certificate"),
    C.CERTIFICATE_UNREADABLE: CodeText(400, "The certificate cannot be read"),
    C.AUTHORITY_UNKNOWN: CodeText(404, "There is no such certificate authority"),
    C.TEMPLATE_UNKNOWN: CodeText(404, "There is no such template"),
    C.CSR_REFUSED: CodeText(400, "The CSR is not one that is enrolled"),
    C.NAME_NOT_COVERED: CodeText(400, "A name of the CSR is not one that the caller may have"),
    C.NAMES_OF_RECORD: CodeText(400, "The template takes names from an orchestrator's record"),
    C.KEY_REUSE: CodeText(400, "The key has a certificate already"),
    C.REQUESTER_NOT_ALLOWED: CodeText(403, "The CA or template is for others"),
    C.ENROLLMENT_UNKNOWN: CodeText(404, "There is no such enrollment"),
    C.ENROLLMENT_FAILED: CodeText(400, "The CA did not issue"),
    C.NOT_DISAPPROVED: CodeText(400, "Only a disapproved orchestrator is deleted"),
    C.HAS_JOBS: CodeText(400, "The orchestrator has jobs that are not done"),
    C.DELETION_FORBIDDEN: CodeText(403, "A policy forbids this deletion"),
    C.JOB_UNKNOWN: CodeText(404, "There is no such job"),
    C.REQUEST_UNKNOWN: CodeText(404, "There is no such request for approval"),
    C.GROUP_UNKNOWN: CodeText(404, "There is no such group"),
    C.ISSUER_UNKNOWN: CodeText(404, "There is no such trusted issuer"),
    C.CREDENTIAL_UNKNOWN: CodeText(404, "There is no such bootstrap credential"),
    C.AUTHORITY_INVALID: CodeText(400, "A certificate authority cannot be like this"),
    C.TEMPLATE_INVALID: CodeText(400, "A template cannot be like this"),
    C.AUDIT_ENTRY_UNKNOWN: CodeText(404, "There is no such row of the audit log"),
    C.NOT_SEALED: CodeText(409, "The row is not sealed yet"),
    C.IN_USE: CodeText(400, "Something else needs it"),
    C.NOBODY_SEEN: CodeText(400, "Nobody has come forward yet"),
    C.CONFLICT: CodeText(400, "Several strangers came forward"),
    C.CHANGED: CodeText(400, "The orchestrator changed meanwhile"),
    C.NAME_TAKEN: CodeText(400, "The name is taken"),
    C.APPROVAL_FORBIDDEN: CodeText(403, "A policy forbids this approval"),
    C.ACT_REFUSED: CodeText(400, "The act is not possible"),
    C.ENDPOINT_UNKNOWN: CodeText(404, "There is no such endpoint"),
    C.METHOD_NOT_ALLOWED: CodeText(405, "The endpoint does not take this method"),
    C.DATABASE_DOWN: CodeText(503, "The database does not answer"),
    C.INTERNAL: CodeText(500, "The portal failed"),
}

REASONS: dict[str, ErrorCode] = {
    "unknown": C.ORCHESTRATOR_UNKNOWN,
    "nobody_seen": C.NOBODY_SEEN,
    "conflict": C.CONFLICT,
    "changed": C.CHANGED,
    "moved_on": C.CHANGED,
    "name_taken": C.NAME_TAKEN,
    "policy": C.APPROVAL_FORBIDDEN,
    "not_disapproved": C.NOT_DISAPPROVED,
    "has_jobs": C.HAS_JOBS,
    "return_eased": C.DELETION_FORBIDDEN,
    # What a job notes of an item.
    "permission_missing": C.PERMISSION_MISSING,
    "internal": C.INTERNAL,
}
"""Codes for the reasons of a refused act; any other reason is ``act_refused``."""


def act_code(reason: str) -> ErrorCode:
    """Return the code for the reason of a refused act."""
    return REASONS.get(reason, C.ACT_REFUSED)
