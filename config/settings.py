"""All settings. Everything an operator may want to change comes from the environment (docs/operators lists it)."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.utils.csp import CSP

from config import devpg
from config.env import base_url, database, issuer, mailers, number, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Where the embedded database and files live (spec 10.1). Absolute: processes with another working folder read it too.
VAR = Path(env("HEADROOM_VAR", default=str(BASE_DIR / "var"))).expanduser().resolve()
BASE_URL = base_url(env)
IS_HTTPS = BASE_URL.startswith("https://")

SECRET_KEY = secret_key(env, VAR)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", urlsplit(BASE_URL).hostname])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[BASE_URL] if IS_HTTPS else [])

INSTALLED_APPS = [
    "config",
    "alerts",
    "billing",
    "usage",
    "config.admin_config.HeadroomAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_htmx",
    "django_q",
    "axes",
    "ninja",  # its pages for the API description
]

MIDDLEWARE = [
    "config.log.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.web.QuickGZipMiddleware",
    "config.web.ApiLaneMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.web.DatabaseTroubleMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

CONTEXT_PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
    "alerts.context_processors.bell_and_banner",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": CONTEXT_PROCESSORS},
    }
]

# --- Data. No connection pool: the worker processes are forked and would share its sockets. ---
DATABASE_URL = str(env("DATABASE_URL", default=""))  # empty: the embedded server
DATABASES = {
    "default": database(
        DATABASE_URL or devpg.url(VAR),
        statement_timeout=number(env, "DB_STATEMENT_TIMEOUT", 30),
        lock_timeout=number(env, "DB_LOCK_TIMEOUT", 10),
        idle_timeout=number(env, "DB_IDLE_TIMEOUT", 60),
    )
    | {
        "CONN_MAX_AGE": number(env, "CONN_MAX_AGE", 60),
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"NAME": env("HEADROOM_TEST_DB", default="test_headroom")},
    }
}
FORM_RENDERER = "config.widgets.Renderer"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "django_cache"}}

# --- People ---
SESSION_ENGINE = "usage.sessions"
AUTH_USER_MODEL = "usage.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesBackend", "usage.sign_in.UserBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# --- Safety of the browser's side (strict: every script and style is a file of ours, so none needs a nonce) ---
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = number(env, "HSTS_SECONDS", 31_536_000 if IS_HTTPS else 0)
# Behind a proxy that ends TLS and always sets this header itself.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("TRUST_PROXY", default=False) else None
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024  # the API answers 413 itself, well below this

# --- Words and numbers ---
LANGUAGE_CODE = "en-us"
USE_I18N = False
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files ---
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nothing is uploaded; PDFs are rows
    "staticfiles": {"BACKEND": "config.static.StaticStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["jpg", "jpeg", "png", "gif", "webp", "zip", "gz", "woff", "woff2", "map"]

# --- E-mail (spec 10.6) ---
EMAIL_URL = env("EMAIL_URL", default="")
MAILERS = mailers(EMAIL_URL, VAR)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env("FROM_EMAIL", default="Headroom <headroom@headroom.example>")
SUPPORT_EMAIL = env("SUPPORT_EMAIL", default="support@headroom.example")

# --- Background jobs (spec 8.1) ---
# retry > timeout: a job that still runs is never started a second time. `name` salts the signed rows: keep it.
DOCUMENT_JOBS = "documents"  # the queue of what may wait
Q_CLUSTER = {
    "name": "headroom",
    "orm": "default",
    "broker_class": "config.broker.Broker",
    "workers": number(env, "JOB_WORKERS", 2),
    "timeout": 300,
    "retry": 600,
    "max_attempts": 3,
    "ack_failures": False,
    "catch_up": False,
    "time_zone": "UTC",
    "bulk": 1,
    "queue_limit": 4,
    "poll": 0.2,
    "recycle": 200,
    "max_rss": 300_000,
    "save_limit": 1000,
    "cache": "default",
    "label": "Background jobs",
}

# --- Headroom itself ---
LIVE_EVALUATION = env.bool("LIVE_EVALUATION", default=True)  # false: telling waits for the sweeps (spec 2.8)
ISSUER = issuer(env)

# --- Logs ---
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "config.log.RequestIdFilter"}, "brief": {"()": "config.log.BriefFilter"}},
    "formatters": {
        "plain": {"format": "{asctime} {levelname:<7} {name} [{request_id}] {message}", "style": "{"},
        "json": {"()": "config.log.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id"],
            "formatter": "json" if env("LOG_FORMAT", default="plain") == "json" else "plain",
        }
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "django.security.DisallowedHost": {"filters": ["brief"]},
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        "factur-x": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},
        "weasyprint": {"level": "ERROR"},
        "axes": {"level": "WARNING"},
    },
}
