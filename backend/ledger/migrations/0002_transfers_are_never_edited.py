"""The database itself refuses to edit or delete a transfer, whatever program asks."""

from django.db import migrations

CREATE = """
CREATE FUNCTION ledger_transfer_is_never_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a ledger transfer is never deleted (transfer %)', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status = 'PENDING' AND NEW.status IN ('POSTED', 'VOIDED')
       AND (to_jsonb(NEW) - 'status' - 'settled_at') = (to_jsonb(OLD) - 'status' - 'settled_at') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a ledger transfer is never edited (transfer %)', OLD.id USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER ledger_transfer_is_never_edited
BEFORE UPDATE OR DELETE ON ledger_ledgertransfer
FOR EACH ROW EXECUTE FUNCTION ledger_transfer_is_never_edited();
"""

DROP = """
DROP TRIGGER ledger_transfer_is_never_edited ON ledger_ledgertransfer;
DROP FUNCTION ledger_transfer_is_never_edited();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
