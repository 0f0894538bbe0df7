"""Status and flag of a record: the values that its columns have."""

from __future__ import annotations

from django.db import models


class Status(models.IntegerChoices):
    """Status of a record, with Keyfactor's numbers."""

    NEW = 1, "New"
    APPROVED = 2, "Approved"
    DISAPPROVED = 3, "Disapproved"


class Reenrollment(models.IntegerChoices):
    """The flag that an operator sets; REST shows the name, the decision uses the number."""

    NONE = 0, "None"
    REQUESTED = 1, "Requested"
    REQUIRED = 2, "Required"
