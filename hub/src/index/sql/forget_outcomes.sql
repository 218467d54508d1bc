-- forget_outcomes
WITH batch AS ({batch})
DELETE FROM outcomes
WHERE submission_id IN (
    SELECT o.submission_id
    FROM batch b
    JOIN appends a ON a.record_id = b.record_id
        AND a.version = b.version
        AND a.topic = b.topic
        AND a.partition_no = b.partition_no
        AND a.entry_key = b.entry_key
        AND a.entry_offset < b.entry_offset
    JOIN outcomes o ON o.submission_id = a.submission_id
        AND o.topic = a.topic
        AND o.partition_no = a.partition_no
        AND o.entry_offset = a.entry_offset
    WHERE NOT EXISTS (
        -- The outcome that made the version stands as long as the version: a rebuild has it from the registry.
        SELECT 1 FROM versions v
        WHERE v.record_id = b.record_id AND v.version = b.version AND v.submission_id = o.submission_id
    )
)
