-- upsert_heads
WITH batch AS ({batch})
INSERT INTO heads (record_id, record_type, department, version, status, frozen, suspended, gap_version)
SELECT
    b.record_id, b.record_type, b.department, b.version, b.status, b.frozen, b.suspended,
    -- From the outcomes, which this transaction has written before: so it is the same after a rewind.
    (
        SELECT max(o.version) FROM outcomes o
        WHERE o.record_id = b.record_id AND o.outcome = 'gap' AND o.version > b.version
    )
FROM batch b
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (record_id) DO UPDATE SET
    version = excluded.version,
    status = excluded.status,
    frozen = excluded.frozen,
    suspended = excluded.suspended,
    gap_version = excluded.gap_version
