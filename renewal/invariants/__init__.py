"""What must hold over all rows, and finding where it does not.

Order of reading: `report` (what a violation is), then one module to a topic: `holdings` (who holds
which certificate: I2, I3, I4), `requests` (enrollments: I5, I6, I12, I13, I18), `order` (what
happened before what: I8, I9), `decisions` (C13), `names` (T8), `audit` (I15), and `verify` (all of
them). Nothing here changes a row.
"""
