"""A synthetic fleet of any size, for measuring: `manage.py load_fleet`.

Order of reading: `documents` (certificates and CSRs by the million), `draw` (what happened to one
orchestrator), `rows` (that as rows of every table), `sheets` (rows into the database), `load` (all
of it, chunk by chunk). Nothing here is used by a portal at work.
"""
