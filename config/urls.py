from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from config import api, health, screens, screens_analytics, screens_billing, screens_teammates, screens_usage

# Pages of a workspace that show more than one app; each app adds its own.
workspace_pages: list[URLPattern | URLResolver] = [
    path("", screens.dashboard, name="dashboard"),
    path("usage", screens_usage.usage_page, name="usage"),
    path("billing", screens_billing.billing, name="billing"),
    path("analytics", screens_analytics.analytics, name="analytics"),
    path("analytics.csv", screens_analytics.analytics_csv, name="analytics_csv"),
    path("teammates", screens_teammates.teammates, name="teammates"),
    path("", include("alerts.urls")),
    path("", include("billing.urls")),
]

urlpatterns = [
    *api.urlpatterns,
    path("ofrep/v1/", include("alerts.ofrep_urls")),
    path("w/<str:workspace_key>/", include(workspace_pages)),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("usage.urls")),
    path("", include("django.contrib.auth.urls")),
]

handler400 = "config.api.bad_request"
