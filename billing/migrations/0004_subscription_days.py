"""A period's first day can be the last day of the one before (a boundary at noon), so a day alone does not name a change."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_default_plans")]
    operations = [
        migrations.RemoveConstraint(model_name="subscription", name="subscription_last_change_of_day"),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(
                fields=["account", "period", "starts_on"], name="subscription_last_change_of_day"
            ),
        ),
        migrations.AlterModelOptions(name="subscription", options={"ordering": ["account", "period", "starts_on"]}),
    ]
