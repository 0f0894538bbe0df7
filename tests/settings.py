"""The portal's settings as the tests use them: a scratch data folder, cheap passwords.

Owns nothing that a test is about. The database is the one of DATABASE_URL, else SQLite.
"""

import atexit
import os
import shutil
import tempfile
from dataclasses import replace

if "PORTAL_DATA_DIR" not in os.environ:
    _scratch = tempfile.mkdtemp(prefix="portal-tests-")
    atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
    os.environ["PORTAL_DATA_DIR"] = _scratch

from portal.settings import *  # noqa: F403

# A slow hash is right for people's passwords and wrong for thousands of test users.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Thousands of calls come from one address; tests of the limits set some.
CONFIG = replace(CONFIG, api_calls_per_caller=0, api_calls_per_address=0)  # noqa: F405
# A test's client makes the middleware anew, which reads every static file unless told to look
# for a file when it is asked for.
WHITENOISE_AUTOREFRESH = True
# A hint that nobody takes; tests of the broker start one of their own.
CELERY_BROKER_URL = "memory://"
