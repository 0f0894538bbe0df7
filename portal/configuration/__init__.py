"""The portal's configuration as one document: exported, compared, applied.

Owns the document. What a setting, role, group, template or rule may be, and how it changes with
its audit row, is the services' that the pages call.
"""
