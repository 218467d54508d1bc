-- upsert_heads
WITH batch AS ({batch})
INSERT INTO heads (record_id, record_type, department, version, status, frozen, suspended, gap_version)
SELECT record_id, record_type, department, version, status, frozen, suspended, gap_version
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (record_id) DO UPDATE SET
    version = excluded.version,
    status = excluded.status,
    frozen = excluded.frozen,
    suspended = excluded.suspended,
    gap_version = excluded.gap_version
