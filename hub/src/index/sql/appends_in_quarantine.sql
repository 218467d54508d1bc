-- appends_in_quarantine
SELECT
    a.topic, a.partition_no, a.entry_offset, a.entry_key, a.entry_id, a.submission_id, a.record_id, a.version, a.envelope
FROM appends a
WHERE a.topic = 'weft.quarantine' AND a.entry_key = $1 -- spelled so for the partial index
ORDER BY a.partition_no, a.entry_offset
