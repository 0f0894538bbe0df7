"""The wire of the agent protocol: codes and typed messages.

PURE: no Django, no I/O, no clock. Shared by the portal's endpoint and the reference
orchestrator; neither side writes a code or a member name of its own.
"""
