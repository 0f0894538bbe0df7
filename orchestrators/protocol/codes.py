"""Every code that the portal puts in an agent reply: its sentence and its remedy.

PURE. Two codes are Keyfactor's own and existing agents act on them; all others have the same
shape in a range of this product's own (``A01F0001``…), so that no agent mistakes one for an
order to renew. Pages show the same code and sentence as the agent's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Stable code of an agent reply (``Result.Error.CodeString``)."""

    SHOULD_RENEW = "A0100007"
    MUST_RENEW = "A0100008"

    NOT_APPROVED = "A01F0001"
    DISAPPROVED = "A01F0002"
    CERTIFICATE_NOT_BOUND = "A01F0003"
    NOT_YOUR_RECORD = "A01F0004"
    CERTIFICATE_EXPIRED = "A01F0005"
    CERTIFICATE_NOT_YET_VALID = "A01F0006"
    CERTIFICATE_REVOKED = "A01F0007"
    CERTIFICATE_DROPPED = "A01F0008"
    CLAIM_NEEDS_CSR = "A01F0009"
    NAME_TAKEN = "A01F000A"
    CREDENTIAL_SPENT = "A01F000B"
    NAME_MISSING = "A01F000C"
    CERTIFICATE_UNSUITABLE = "A01F000D"
    REGISTRATION_DENIED = "A01F000E"
    CLAIM_OVER = "A01F000F"

    CSR_FORMAT = "A01F0010"
    KEY_IN_BODY = "A01F0011"
    CSR_PARSE = "A01F0012"
    KEY_TYPE = "A01F0013"
    KEY_WEAK = "A01F0014"
    CSR_SIGNATURE = "A01F0015"
    KEY_REUSE = "A01F0016"
    CSR_NAMES = "A01F0017"
    NOT_DUE = "A01F0018"

    PERMISSION_MISSING = "A01F0020"
    ENROLLMENT_NOT_CONFIGURED = "A01F0021"
    ENROLLMENT_REFUSED = "A01F0022"
    ENROLLMENT_WAITING = "A01F0023"
    HANDLER_FAILED = "A01F0024"
    HANDLER_CHOICE = "A01F0025"

    BUSY = "A01F0030"
    SESSION_INVALID = "A01F0031"
    JOB_UNKNOWN = "A01F0032"
    DECISION_FAILED = "A01F0033"

    UNAUTHENTICATED = "A01F0040"
    BODY_INVALID = "A01F0041"
    BODY_TOO_LARGE = "A01F0042"
    METHOD_NOT_ALLOWED = "A01F0043"
    CERTIFICATE_HEADER = "A01F0044"
    DATABASE_DOWN = "A01F0045"
    ENDPOINT_UNKNOWN = "A01F0046"


@dataclass(frozen=True)
class CodeText:
    """What a code says to a person, and what that person can do.

    ``sentence`` is sent in ``Result.Error.Message``; agents format it into a buffer of 1,024
    bytes, so sentence and detail together stay below 900 bytes (see ``answers.problem``).
    """

    sentence: str
    remedy: str


_TEXTS: dict[Code, CodeText] = {
    # The two sentences below are the ones that operators grep for in existing agents' logs.
    Code.SHOULD_RENEW: CodeText(
        "Agent certificate is approaching expiration and should be renewed.",
        "Nothing to do: the orchestrator renews with its next CSR and keeps working meanwhile.",
    ),
    Code.MUST_RENEW: CodeText(
        "Agent certificate is approaching expiration and must be renewed.",
        "The orchestrator gets its next session together with a new certificate. If it does not "
        "send a CSR, check its renewal extension.",
    ),
    Code.NOT_APPROVED: CodeText(
        "This orchestrator is waiting for approval.",
        "Approve it on the Orchestrators page.",
    ),
    Code.DISAPPROVED: CodeText(
        "This orchestrator was disapproved.",
        "Approve it again on its page if it may work.",
    ),
    Code.CERTIFICATE_NOT_BOUND: CodeText(
        "This certificate is not the one that the portal expects from this orchestrator.",
        "Configure the expected certificate, or Reset the orchestrator and approve its return.",
    ),
    Code.NOT_YOUR_RECORD: CodeText(
        "The request names another orchestrator than the one its certificate belongs to.",
        "Correct AgentId and the orchestrator's name in its configuration; if the machine was "
        "cloned, give the copy a certificate of its own.",
    ),
    Code.CERTIFICATE_EXPIRED: CodeText(
        "Agent certificate has expired.",
        "Configure a valid certificate, Reset the orchestrator and approve its return.",
    ),
    Code.CERTIFICATE_NOT_YET_VALID: CodeText(
        "Agent certificate is not yet valid.",
        "Check the clocks of the CA and of this host; the certificate works from its notBefore.",
    ),
    Code.CERTIFICATE_REVOKED: CodeText(
        "Agent certificate is revoked.",
        "Configure a valid certificate, Reset the orchestrator and approve its return.",
    ),
    Code.CERTIFICATE_DROPPED: CodeText(
        "Agent certificate has been replaced by a newer one and is no longer accepted.",
        "Configure the newer certificate; if it is lost, Reset the orchestrator and approve its "
        "return.",
    ),
    Code.CLAIM_NEEDS_CSR: CodeText(
        "This orchestrator is approved and may enrol: a CSR is needed.",
        "Let the orchestrator register with a CSR (for the C agent: EnrollOnStartup).",
    ),
    Code.NAME_TAKEN: CodeText(
        "An approved orchestrator has this name; a bootstrap credential cannot act for it.",
        "Choose another name, or Reset the orchestrator of that name and approve its return.",
    ),
    Code.CREDENTIAL_SPENT: CodeText(
        "This bootstrap credential cannot be used for this orchestrator: it is spent, expired, "
        "revoked or bound to another one.",
        "Create a new bootstrap credential under Add orchestrator; an orchestrator that is "
        "approved already has to be Reset too, and its return approved.",
    ),
    Code.NAME_MISSING: CodeText(
        "A bootstrap credential needs a ClientMachine.",
        "Give the orchestrator a name in its configuration.",
    ),
    Code.CERTIFICATE_UNSUITABLE: CodeText(
        "The certificate is not one for client authentication.",
        "Configure a certificate with the extended key usage clientAuth that is not a CA's.",
    ),
    Code.REGISTRATION_DENIED: CodeText(
        "This registration was denied.",
        "A rule or handler of auto-registration denies it; approve the orchestrator on its page if "
        "it may work.",
    ),
    Code.CLAIM_OVER: CodeText(
        "The time to enrol after the approval is over.",
        "Reset the orchestrator and approve its return.",
    ),
    Code.CSR_FORMAT: CodeText(
        "The CSR is not one base64 DER or PEM certification request of at most 16 KiB.",
        "Send base64 DER of one PKCS#10 request.",
    ),
    Code.KEY_IN_BODY: CodeText(
        "The request contains a private key. It was refused and not stored.",
        "Treat that key as disclosed: make a new one and send the CSR alone.",
    ),
    Code.CSR_PARSE: CodeText(
        "The CSR cannot be parsed as a PKCS#10 request.",
        "Make the CSR with a current tool; duplicate extensions and attributes are refused.",
    ),
    Code.KEY_TYPE: CodeText(
        "The type or size of the key is not one that the template allows.",
        "Make a key of a type that the template lists.",
    ),
    Code.KEY_WEAK: CodeText(
        "The key is weak.",
        "Make a new key with a current tool on a host with good randomness.",
    ),
    Code.CSR_SIGNATURE: CodeText(
        "The CSR's signature is missing, made with an algorithm that is not allowed, or wrong.",
        "Sign the CSR with its own key and SHA-256, SHA-384 or SHA-512.",
    ),
    Code.KEY_REUSE: CodeText(
        "The CSR's key has been used before; a renewal needs a new key.",
        "Make a new key.",
    ),
    Code.CSR_NAMES: CodeText(
        "The CSR asks for a name or an extension that this orchestrator may not have.",
        "Ask only for the orchestrator's own names, or add the name to the record.",
    ),
    Code.NOT_DUE: CodeText(
        "A renewal is not due: a certificate was issued a short while ago.",
        "Nothing to do; use Request Renewal to renew earlier.",
    ),
    Code.PERMISSION_MISSING: CodeText(
        "The orchestrator's service account lacks a permission.",
        "Give the named permission to a role of the service account.",
    ),
    Code.ENROLLMENT_NOT_CONFIGURED: CodeText(
        "No certificate authority or template is set for submitted CSRs.",
        "Set both under Application settings.",
    ),
    Code.ENROLLMENT_REFUSED: CodeText(
        "The certificate authority refused the request.",
        "See the enrollment's reason on the orchestrator's page.",
    ),
    Code.ENROLLMENT_WAITING: CodeText(
        "The certificate is not ready yet.",
        "Nothing to do: the orchestrator asks again.",
    ),
    Code.HANDLER_FAILED: CodeText(
        "A registration handler of the portal failed, so no certificate authority was asked.",
        "See the handler's last error under Auto-registration, and the portal's log.",
    ),
    Code.HANDLER_CHOICE: CodeText(
        "A registration handler named a certificate authority or template that does not exist or "
        "is disabled.",
        "Correct the handler, or enable what it names.",
    ),
    Code.BUSY: CodeText(
        "The portal is busy.",
        "Nothing to do: the orchestrator registers again.",
    ),
    Code.SESSION_INVALID: CodeText(
        "The session is not known or has ended.",
        "Nothing to do: the orchestrator registers again.",
    ),
    Code.JOB_UNKNOWN: CodeText(
        "The job does not exist or is not this orchestrator's.",
        "Nothing to do.",
    ),
    Code.DECISION_FAILED: CodeText(
        "The portal could not decide on this request and refused it.",
        "Look up the request id in the portal's log.",
    ),
    Code.UNAUTHENTICATED: CodeText(
        "A client certificate that chains to a trusted issuer, or a bootstrap credential, is "
        "needed.",
        "Configure the orchestrator's certificate, or create a bootstrap credential.",
    ),
    Code.BODY_INVALID: CodeText(
        "The body is not a JSON object of the expected shape.",
        "Send the members that the agent protocol names.",
    ),
    Code.BODY_TOO_LARGE: CodeText(
        "The body is larger than the portal accepts.",
        "Send at most the size that the agent protocol names.",
    ),
    Code.METHOD_NOT_ALLOWED: CodeText("The agent protocol uses POST.", "Use POST."),
    Code.CERTIFICATE_HEADER: CodeText(
        "The proxy sent a client-certificate header that cannot be read, or more than one.",
        "Let the proxy overwrite the header with exactly one value.",
    ),
    Code.DATABASE_DOWN: CodeText(
        "The portal's database does not answer.",
        "Nothing to do: the orchestrator asks again.",
    ),
    Code.ENDPOINT_UNKNOWN: CodeText(
        "The agent protocol has no such endpoint.",
        "Check the URL in the orchestrator's configuration.",
    ),
}

# A code without a text would be a reply that nobody can act on.
TEXTS: dict[Code, CodeText] = {code: _TEXTS[code] for code in Code}

RENEWAL_CODES = frozenset({Code.SHOULD_RENEW, Code.MUST_RENEW})
"""The codes at which an orchestrator makes a new key and sends a CSR."""

NEW_KEY_CODES = frozenset(
    {Code.KEY_REUSE, Code.KEY_TYPE, Code.KEY_WEAK, Code.KEY_IN_BODY, Code.CSR_SIGNATURE}
)
"""The codes that refuse a key: a pending key is dropped and a new one made at the next Register."""


def code_number(code: str) -> int:
    """Return a code, also one that is sent no more, as the integer of ``Result.Error.Code`` and
    REST ``LastErrorCode``.
    """
    return int(code, 16)
