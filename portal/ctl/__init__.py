"""portalctl: a command line over the management REST API.

Knows HTTP and JSON, and nothing of the portal's code: it runs anywhere with Python 3.11.
"""
