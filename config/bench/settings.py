"""The product's settings for the benchmark's own processes: the same, plus the addresses of the floors, without the
periodic jobs, which would close the accounts that another row wants to close."""

from config.settings import *  # noqa: F403
from config.settings import Q_CLUSTER as _Q_CLUSTER

ROOT_URLCONF = "config.bench.urls"
Q_CLUSTER = _Q_CLUSTER | {"scheduler": False}
