-- insert_stubs
WITH batch AS ({batch})
INSERT INTO appends (topic, partition_no, entry_offset, entry_key, entry_id, submission_id, record_id, version, envelope)
SELECT
    b.topic, b.partition_no, b.entry_offset, b.entry_key, b.entry_id, b.submission_id, b.record_id, b.version,
    CASE
        WHEN EXISTS (
            SELECT 1 FROM versions v WHERE v.record_id = b.record_id AND v.version = b.version AND v.entry_id = b.entry_id
        ) THEN NULL -- the same bytes stand in versions
        ELSE b.envelope
    END
FROM batch b
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (topic, partition_no, entry_offset) DO NOTHING
