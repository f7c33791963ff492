"""The first plans, so that an account can be made on an empty database (spec 5.1)."""

from django.db import migrations

from billing.default_plans import create_default_plans


def create_plans(apps, schema_editor):
    create_default_plans(
        plan_model=apps.get_model("billing", "Plan"),
        add_on_model=apps.get_model("billing", "AddOn"),
        rate_model=apps.get_model("billing", "Rate"),
        metric_model=apps.get_model("usage", "Metric"),
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_documents_never_change"), ("usage", "0002_rules_and_metrics")]
    operations = [migrations.RunPython(create_plans, migrations.RunPython.noop)]
