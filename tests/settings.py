"""The product's own settings, with what a test process cannot use replaced."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "tests-only")
# Two runs on one machine never share files.
os.environ.setdefault("HEADROOM_VAR", tempfile.mkdtemp(prefix="headroom-tests-"))

from config.settings import *  # noqa: F403
from config.settings import STORAGES

# The manifest needs collectstatic; the live server of the tests finds the files where they lie.
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
