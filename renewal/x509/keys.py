"""Which public keys a certificate may have, and which are weak.

PURE. Owns the names of key types (S23 in docs/promises.md) and the checks on the key alone. Which
of the types a template allows, and whether a key was used before, is decided elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

DEFAULT_KEY_TYPE: Final = "EC-P256"
KEY_TYPES: Final = (
    "EC-P256",
    "EC-P384",
    "EC-P521",
    "RSA-2048",
    "RSA-3072",
    "RSA-4096",
    "Ed25519",
)
"""The key types that a template can list; other RSA sizes in steps of 8 are named alike."""

_CURVES = {"secp256r1": "EC-P256", "secp384r1": "EC-P384", "secp521r1": "EC-P521"}
_RSA_MIN, _RSA_MAX, _RSA_EXPONENT = 2048, 4096, 65537


class KeyUnsuitable(ValueError):
    """The key's algorithm, size, curve or exponent is not one that the portal certifies."""


class KeyWeak(ValueError):
    """The private key can be computed from this public key."""


def key_type_of(key: PublicKeyTypes) -> str:
    """Return the type's name, such as ``RSA-2048``; raise ``KeyUnsuitable`` for any other key."""
    if isinstance(key, rsa.RSAPublicKey):
        size = key.key_size
        if not _RSA_MIN <= size <= _RSA_MAX or size % 8:
            raise KeyUnsuitable(f"an RSA key has 2048 to 4096 bits in steps of 8, not {size}")
        if key.public_numbers().e != _RSA_EXPONENT:
            raise KeyUnsuitable("the public exponent of an RSA key is 65537")
        return f"RSA-{size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise KeyUnsuitable(f"the curve {key.curve.name} is not P-256, P-384 or P-521")
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    raise KeyUnsuitable("the key is neither RSA, EC nor Ed25519")


def _primes_up_to(limit: int) -> list[int]:
    return [n for n in range(2, limit + 1) if all(n % d for d in range(2, int(n**0.5) + 1))]


# CA/Browser Forum Baseline Requirements §6.1.6 (NIST SP 800-89): no factor up to 751.
_SMALL_PRIMES = prod(_primes_up_to(751))


def check_small_factors(key: PublicKeyTypes) -> None:
    """Raise ``KeyWeak`` for an RSA modulus with a prime factor of at most 751 (2 included)."""
    if isinstance(key, rsa.RSAPublicKey) and gcd(key.public_numbers().n, _SMALL_PRIMES) != 1:
        raise KeyWeak("the RSA modulus has a small prime factor")


def check_not_prime(key: PublicKeyTypes) -> None:
    """Raise ``KeyWeak`` for an RSA modulus that is itself a prime.

    This is the dearest check (tens of milliseconds for RSA), so it comes after the signature.
    """
    if isinstance(key, rsa.RSAPublicKey) and _is_probably_prime(key.public_numbers().n):
        raise KeyWeak("the RSA modulus is a prime")


# A lost reply makes an orchestrator send the same key again: that must not cost the test again.
@lru_cache(maxsize=1024)
def _is_probably_prime(modulus: int) -> bool:
    # A composite that passes Fermat's test to base 2 is refused too, and does not occur by chance.
    return pow(2, modulus - 1, modulus) == 1
