"""The words of the field, each in a sentence: shown where they stand, and on the page of help.

Owns the glossary alone. PURE.
"""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "certificate authority": "CA: the service that signs certificates and can revoke them.",
    "CSR": "Certificate signing request: a new public key with the names that its owner wants, "
    "signed with the new private key. The private key never leaves the orchestrator.",
    "expected thumbprint": "That of the newest certificate that this portal delivered or bound.",
    "expiry period": "The last part of a certificate's life. In it an orchestrator gets no "
    "session without a new certificate (A0100008).",
    "heartbeat": "The short call by which an orchestrator in a session tells that it is alive.",
    "issued, not used": "A new certificate was delivered, and no session has proven yet that the "
    "orchestrator installed it.",
    "legacy thumbprint": "That of the certificate before the newest one. It is accepted until the "
    "new one has been used.",
    "Register": "The call that asks for a session; a CSR may come with it.",
    "renewal request": "An operator's wish for a new certificate. Requested: it works on and is "
    "told. Required: no session without a new certificate.",
    "Reset": "Takes an orchestrator back to New: it must come forward and be approved again.",
    "revocation": "The CA declares a certificate void before its end.",
    "SAN": "Subject alternative names: the names in a certificate beside its subject.",
    "service account": "The account whose permissions count for an orchestrator's calls. Nobody "
    "can sign in to these pages with it.",
    "session": "What an orchestrator gets for its Register. Only within one does it work.",
    "standing": "What a certificate is to its orchestrator: current, legacy, issued, and so on.",
    "template": "Says which keys, names and validity certificates get.",
    "thumbprint": "SHA-1 of a whole certificate in hex: its short name. What authenticates is its "
    "SHA-256.",
    "thumbprint used last": "That of the certificate that it presented with its last call. One "
    "that is neither expected nor legacy is an alarm.",
    "trusted issuer": "A CA whose certificates orchestrators may come forward with.",
    "warning period": "The time before a certificate's end in which its orchestrator works on and "
    "is told at each session to renew (A0100007).",
}
