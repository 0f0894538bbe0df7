"""A synthetic fleet of any size, for measuring: `manage.py load_fleet`.

Order of reading: `documents` (certificates and CSRs by the million), `draw` (what happened to one
orchestrator), `lives` with `holdings` and `ledger` (that as rows of every table), `sheets` (rows as
text), `chunks` and `processes` (many at once), `tables` (into the database), `load` (all of it).
Nothing here is used by a portal at work.
"""
