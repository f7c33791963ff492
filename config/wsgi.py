"""The door for the web server: `granian --interface wsgi config.wsgi:application`."""

import gc
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.template.loader import get_template
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# The first visitors do not wait for pages to be loaded.
get_resolver()._populate()
templates = settings.BASE_DIR / "templates"
for file in templates.rglob("*.html"):
    get_template(str(file.relative_to(templates)))

# What is loaded now stays for good. Left out of the collector's rounds, no request waits until all of it was looked at.
gc.collect()
gc.freeze()
# A page makes some thousand objects that are gone with its answer. Python's usual 2000 would look at them many times;
# more than this, and one request in a dozen waits long enough to be noticed.
gc.set_threshold(5_000)
