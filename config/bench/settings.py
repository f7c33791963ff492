"""The product's settings for the benchmark's web server: the same, plus the addresses of the floors."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "config.bench.urls"
