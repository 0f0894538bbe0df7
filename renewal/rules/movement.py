"""How certificates change their standing when one is delivered or proven. PURE.

Owns thumbprint movement. A mover gets what an orchestrator holds and returns who goes where;
writing it, clearing the flag and recording revocations is the services' work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from renewal.rules.standing import Standing


@dataclass(frozen=True)
class Held:
    """One certificate of the accept set."""

    key: int
    standing: Standing


@dataclass(frozen=True)
class Movement:
    """New standings, in an order that never breaks "one of each"; and who is done with."""

    moves: tuple[tuple[int, Standing], ...] = ()
    replaced: int | None = None
    """The proven certificate that gave way: revoked if the setting says so."""
    given_up: tuple[int, ...] = ()
    """Unused certificates that gave way: always revoked."""
    legacy_cleared: bool = False


def on_delivery(held: Iterable[Held]) -> Movement:
    """Return the movement that makes room for a newly delivered certificate (becomes ISSUED).

    Legacy = the one that was current (unchanged if already set). At most two are unproven: the
    newest issued becomes overtaken, one overtaken before is given up.
    """
    by_standing = {h.standing: h.key for h in held}
    moves: list[tuple[int, Standing]] = []
    given_up: tuple[int, ...] = ()
    if (overtaken := by_standing.get(Standing.OVERTAKEN)) is not None:
        moves.append((overtaken, Standing.DISCARDED))
        given_up = (overtaken,)
    if (issued := by_standing.get(Standing.ISSUED)) is not None:
        moves.append((issued, Standing.OVERTAKEN))
    current = by_standing.get(Standing.CURRENT, by_standing.get(Standing.NAMED))
    if current is not None and Standing.LEGACY not in by_standing:
        moves.append((current, Standing.LEGACY))
    return Movement(moves=tuple(moves), given_up=given_up)


def on_promotion(held: Iterable[Held], proven: int) -> Movement:
    """Return the movement at the first session with an unproven certificate.

    If a newer issued one exists, the proven one becomes legacy and the newer one stays what it
    is; else the proven one becomes current and legacy is cleared. The order trap: the old one's
    key is returned, because nothing finds it by its thumbprint any more (S42, S43, S45).
    """
    by_standing = {h.standing: h.key for h in held}
    legacy = by_standing.get(Standing.LEGACY)
    overtaken = by_standing.get(Standing.OVERTAKEN)
    moves: list[tuple[int, Standing]] = []
    if legacy is not None:
        moves.append((legacy, Standing.SUPERSEDED))
    if proven == overtaken:
        moves.append((proven, Standing.LEGACY))
        return Movement(moves=tuple(moves), replaced=legacy, legacy_cleared=legacy is not None)
    given_up: tuple[int, ...] = ()
    if overtaken is not None:
        moves.append((overtaken, Standing.DISCARDED))
        given_up = (overtaken,)
    moves.append((proven, Standing.CURRENT))
    return Movement(
        moves=tuple(moves),
        replaced=legacy,
        given_up=given_up,
        legacy_cleared=legacy is not None,
    )


def flag_after_proof(*, flag: int, flag_counter: int, intent_flag_counter: int | None) -> int:
    """Return the flag once a certificate is proven (S41).

    Cleared if the certificate's intent was made after the flag was last set, told by the counter
    that each setting raises and the intent stores, never by a clock.
    """
    if intent_flag_counter is not None and intent_flag_counter >= flag_counter:
        return 0
    return flag
