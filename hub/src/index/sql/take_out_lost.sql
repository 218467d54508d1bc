-- take_out_lost
INSERT INTO lost (topic, partition_no, entry_offset, entry_key, entry_id, submission_id, record_id, version, envelope)
SELECT
    a.topic, a.partition_no, a.entry_offset, a.entry_key, a.entry_id, a.submission_id, a.record_id, a.version,
    COALESCE(
        a.envelope,
        (
            SELECT v.envelope FROM versions v
            WHERE v.record_id = a.record_id AND v.version = a.version AND v.entry_id = a.entry_id
        ),
        (SELECT l.envelope FROM ledger l WHERE l.entry_id = a.entry_id)
    )
FROM appends a
WHERE a.topic = $1 AND a.partition_no = $2 AND a.entry_offset >= $3
ON CONFLICT (topic, partition_no, entry_offset, entry_id) DO NOTHING
