"""One act on many orchestrators: previewed, frozen, done in batches, told item by item.

Order of reading: `renewal/rules/acts.py` (what an act does to one record) and
`renewal/rules/bulk_lifecycle.py` (a job's states), `selection` (which records, and what is
foreseen for each), `service` (preview, submit, cancel, retry: what the faces call), `work` (what
workers do), `selectors` (what is shown of jobs).
"""
