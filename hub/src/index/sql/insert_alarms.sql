-- insert_alarms
WITH batch AS ({batch})
INSERT INTO alarms (id, alarm, at_ms, topic, partition_no, entry_offset, detail)
SELECT id, alarm, at_ms, topic, partition_no, entry_offset, detail
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (id) DO NOTHING
