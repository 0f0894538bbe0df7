"""The management REST API: parses, asks for the permission, calls one service, renders.

Owns no rule: what an act means and when it is refused is said by `renewal` and `orchestrators`.
"""
