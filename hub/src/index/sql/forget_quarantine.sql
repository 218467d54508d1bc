-- forget_quarantine
WITH batch AS ({batch})
DELETE FROM quarantine
WHERE id IN (
    SELECT q.id
    FROM batch b
    JOIN appends a ON a.record_id = b.record_id
        AND a.version = b.version
        AND a.topic = b.topic
        AND a.partition_no = b.partition_no
        AND a.entry_key = b.entry_key
        AND a.entry_offset < b.entry_offset
    JOIN quarantine q ON q.record_id = b.record_id
        AND q.topic = a.topic
        AND q.partition_no = a.partition_no
        AND q.entry_offset = a.entry_offset
)
