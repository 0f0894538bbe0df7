"""The long versions of the tests: ``python -m tests.torture``."""
