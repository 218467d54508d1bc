-- restore_heads
WITH batch AS ({batch}),
restored AS (
    SELECT
        b.record_id, v.version, v.status, v.frozen, v.suspended,
        (
            SELECT max(o.version) FROM outcomes o
            WHERE o.record_id = b.record_id AND o.outcome = 'gap' AND o.version > COALESCE(v.version, 0)
        ) AS gap_version
    FROM batch b
    LEFT JOIN versions v
        ON v.record_id = b.record_id
       AND v.version = (SELECT max(w.version) FROM versions w WHERE w.record_id = b.record_id)
)
UPDATE heads
SET
    version = COALESCE(restored.version, 0),
    status = COALESCE(restored.status, ''),
    frozen = COALESCE(restored.frozen, FALSE),
    suspended = COALESCE(restored.suspended, FALSE),
    gap_version = restored.gap_version
FROM restored
WHERE heads.record_id = restored.record_id
