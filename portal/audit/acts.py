"""How the rows of one bulk job are known. PURE."""

BULK_GROUP = "bulk-"
"""What the request id of every row of a bulk job begins with; no request has such an id."""
BULK_JOB = "bulk_job"
"""Type of the object of the rows that tell of a bulk job as a whole."""
