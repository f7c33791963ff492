"""Check and count in one step inside the database (spec 4.8)."""

from django.db import migrations

from usage.functions import CREATE_FUNCTIONS, DROP_FUNCTIONS


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_rules_and_metrics")]
    operations = [migrations.RunSQL(CREATE_FUNCTIONS, DROP_FUNCTIONS)]
