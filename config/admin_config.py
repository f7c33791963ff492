"""The admin app with our own site. Stands alone because Django reads it before any model can be imported."""

from django.contrib.admin.apps import AdminConfig


class HeadroomAdminConfig(AdminConfig):
    default_site = "config.admin_site.HeadroomAdminSite"
