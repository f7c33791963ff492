from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from config.schedules import sync_after_migrate

        post_migrate.connect(sync_after_migrate, sender=self, dispatch_uid="sync-schedules")
