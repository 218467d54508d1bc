-- appends_of
SELECT
    a.topic, a.partition_no, a.entry_offset, a.entry_key, a.entry_id, a.submission_id, a.record_id, a.version,
    COALESCE(a.envelope, CASE WHEN v.entry_id = a.entry_id THEN v.envelope END) -- the same bytes are kept once
FROM appends a
LEFT JOIN versions v ON v.record_id = a.record_id AND v.version = a.version
WHERE a.record_id = $1 AND a.version = $2
ORDER BY a.topic, a.partition_no, a.entry_offset
