"""The rules of renewal. PURE: no Django, no I/O, no clock, no randomness.

Read in this order: `periods` (when), `standing` (which certificates count), `decision` (what a
Register is answered), `movement` (how thumbprints move), `lifecycle` (enrollment and revocation
states), `limits` (how often a CA is asked), `retry` (when it is asked again).
"""
