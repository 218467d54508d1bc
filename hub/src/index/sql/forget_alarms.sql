-- forget_alarms
WITH batch AS ({batch})
DELETE FROM alarms
WHERE id IN (
    SELECT x.id
    FROM batch b
    JOIN appends a ON a.record_id = b.record_id
        AND a.version = b.version
        AND a.topic = b.topic
        AND a.partition_no = b.partition_no
        AND a.entry_key = b.entry_key
        AND a.entry_offset < b.entry_offset
    JOIN alarms x ON x.topic = a.topic
        AND x.partition_no = a.partition_no
        AND x.entry_offset = a.entry_offset
    WHERE x.alarm = 'conflict'
)
