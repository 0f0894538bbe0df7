"""What a parser of certificates and requests says, in a sentence for a person. PURE."""

from __future__ import annotations

_ASN1 = "error parsing asn1 value"


def parser_words(error: Exception, expected: str) -> str:
    """Return why something is not ``expected``, such as "a certificate (RFC 5280)".

    ``cryptography`` words errors of DER as a dump of its own structure, which helps nobody who is
    not at work on it; of other words the first line is kept, which quotes no long input.
    """
    words = str(error).partition("\n")[0][:200]
    if not words or words.startswith(_ASN1):
        return f"its DER is not that of {expected}"
    return words
