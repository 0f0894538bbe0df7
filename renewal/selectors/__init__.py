"""Reads that cross tables, for pages and API: they change nothing and decide nothing."""
