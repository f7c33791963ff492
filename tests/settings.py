"""The product's own settings, with what a test process cannot use replaced."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("SECRET_KEY", "tests-only")
if "HEADROOM_VAR" not in os.environ:
    # Two runs on one machine never share files, and a run leaves none.
    os.environ["HEADROOM_VAR"] = tempfile.mkdtemp(prefix="headroom-tests-")
    atexit.register(shutil.rmtree, os.environ["HEADROOM_VAR"], ignore_errors=True)

from config.settings import *  # noqa: F403
from config.settings import STORAGES

# The manifest needs collectstatic; the live server of the tests finds the files where they lie.
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
