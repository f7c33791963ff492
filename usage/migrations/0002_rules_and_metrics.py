"""What the ORM cannot say: the audit trail is append-only, totals are updated in place; and the first metrics (spec 2.1, 4.10)."""

from django.db import migrations

from usage.default_metrics import create_default_metrics

RULES = """
CREATE OR REPLACE FUNCTION headroom_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE OR REPLACE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON usage_auditentry
    FOR EACH ROW EXECUTE FUNCTION headroom_append_only();

-- Totals and days are counters: room on the page keeps their updates on it (HOT), and they are cleaned up early.
ALTER TABLE usage_usagetotal SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE usage_usageday SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
"""


def create_metrics(apps, schema_editor):
    create_default_metrics(apps.get_model("usage", "Metric"))


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]
    operations = [
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
        migrations.RunPython(create_metrics, migrations.RunPython.noop),
    ]
