#!/usr/bin/env python3
"""Entry point of the portal's management commands."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    from portal.conf import ConfigurationInvalid

    try:
        execute_from_command_line(sys.argv)
    except ConfigurationInvalid as problem:
        sys.exit(f"{problem}.")
