"""Issued documents and the ledger never change, by the database's own hand (spec 5.8, 9 h)."""

from django.db import migrations

TABLES = ("billing_invoice", "billing_invoiceline", "billing_billedusage", "billing_invoicedocument")
RULES = "".join(
    f"CREATE OR REPLACE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION headroom_append_only();\n"
    for table in TABLES
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("usage", "0002_rules_and_metrics")]
    operations = [migrations.RunSQL(RULES, migrations.RunSQL.noop)]
