"""Exit statuses of portalctl, and the error of a command line that cannot be carried out. PURE."""

from __future__ import annotations

DONE, NOT_DONE, USAGE, UNREACHABLE = range(4)


class Usage(Exception):
    """The command line cannot be carried out as it is."""
