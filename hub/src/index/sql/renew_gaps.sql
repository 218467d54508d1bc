-- renew_gaps
WITH batch AS ({batch}),
renewed AS (
    SELECT
        h.record_id,
        (
            SELECT max(o.version) FROM outcomes o
            WHERE o.record_id = h.record_id AND o.outcome = 'gap' AND o.version > h.version
        ) AS gap_version
    FROM batch b
    CROSS JOIN heads h
    WHERE h.record_id = b.record_id
)
UPDATE heads
SET gap_version = renewed.gap_version
FROM renewed
WHERE heads.record_id = renewed.record_id
  AND COALESCE(heads.gap_version, 0) <> COALESCE(renewed.gap_version, 0)
