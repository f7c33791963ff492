from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("config.api")),
    path("ofrep/v1/", include("alerts.ofrep_urls")),
    path("w/<str:workspace_key>/", include("alerts.urls")),
    path("admin/", admin.site.urls),
    path("", include("django.contrib.auth.urls")),
]
