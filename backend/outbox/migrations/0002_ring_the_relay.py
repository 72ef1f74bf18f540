from django.db import migrations

# A trigger rather than a call in Python, so that a set-based INSERT ... SELECT wakes the relay as well. PostgreSQL
# sends the notification at commit, and once however many rows a transaction inserted.
RING = """
CREATE FUNCTION outbox_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_ring AFTER INSERT ON outbox_message FOR EACH STATEMENT EXECUTE FUNCTION outbox_ring();
"""
SILENCE = "DROP TRIGGER outbox_ring ON outbox_message; DROP FUNCTION outbox_ring();"


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]

    operations = [migrations.RunSQL(RING, SILENCE)]
