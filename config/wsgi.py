"""The door for the web server: `granian --interface wsgi config.wsgi:application`."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# What is loaded now stays for good. Left out of the collector's rounds, no request waits until all of it was looked at.
gc.collect()
gc.freeze()
