-- look_records
WITH batch AS ({batch})
SELECT
    b.slot,
    (SELECT floor FROM registry_floor),
    EXISTS (SELECT 1 FROM positions r WHERE NOT r.is_current AND r.topic LIKE 'weft.records.%'),
    v.version = h.version,
    EXISTS (
        SELECT 1 FROM holders s
        WHERE s.holder = b.holder
          AND s.record_id = v.record_id
          AND s.from_version <= v.version
          AND (s.until_version IS NULL OR v.version < s.until_version)
    ),
    CASE WHEN h.gap_version > v.version THEN h.gap_version END,
    EXISTS (
        SELECT 1 FROM quarantine q
        WHERE q.record_id = v.record_id
          AND NOT q.closed
          AND q.version > v.version
          AND q.department = v.department -- nobody else's submission casts doubt on a department's record
    ),
    COALESCE(p.is_current, FALSE),
    {version}
FROM batch b
LEFT JOIN heads h ON h.record_id = b.record_id
LEFT JOIN versions v
    ON v.record_id = b.record_id
   AND v.version = CASE
       WHEN b.version IS NOT NULL THEN b.version
       WHEN b.as_of IS NOT NULL THEN (
           SELECT max(w.version) FROM versions w WHERE w.record_id = b.record_id AND w.accepted_at <= b.as_of
       )
       ELSE h.version
   END
LEFT JOIN positions p ON p.topic = v.topic AND p.partition_no = v.partition_no
ORDER BY b.slot, v.record_id -- at least one row per slot, so that the floor is read with it
