from django.apps import AppConfig, apps


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from config.schedules import sync_after_migrate

        # The queue's own app is the sender: an app without models is never one, and its table must exist by then.
        post_migrate.connect(sync_after_migrate, sender=apps.get_app_config("django_q"), dispatch_uid="sync-schedules")
