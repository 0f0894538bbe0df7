"""The words of the field, each in a sentence that is shown where the word stands.

Owns the glossary alone. PURE.
"""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "CSR": "Certificate signing request: a new public key with the names that its owner wants, "
    "signed with the new private key. The private key never leaves the orchestrator.",
    "expected thumbprint": "That of the newest certificate that this portal delivered or bound.",
    "legacy thumbprint": "That of the certificate before the newest one. It is accepted until the "
    "new one has been used.",
    "orchestrator jobs": "What the orchestrator itself is to do in its next session, such as "
    "fetching its log. Bulk jobs are the portal's: one act on many orchestrators.",
    "Register": "The call with which an orchestrator asks for a session, and, when it is due, for "
    "a new certificate.",
    "renewal request": "An operator's wish for a new certificate. Requested: it works on and is "
    "told. Required: no session without a new certificate.",
    "SAN": "Subject alternative names: the names in a certificate beside its subject.",
    "service account": "The account whose permissions count for an orchestrator's calls. Nobody "
    "can sign in to these pages with it. Keyfactor, and so the REST API, calls it Identity.",
    "session": "What an orchestrator gets for its Register. Only within one does it work.",
    "standing": "What a certificate is to its orchestrator: current, legacy, issued, and so on.",
    "template": "What a certificate may be: its keys, names, usages and how long it lives.",
    "thumbprint": "SHA-1 of a whole certificate in hex: its short name. What authenticates is its "
    "SHA-256.",
    "thumbprint used last": "That of the certificate that it presented with its last call. One "
    "that is neither expected nor legacy is an alarm.",
}
