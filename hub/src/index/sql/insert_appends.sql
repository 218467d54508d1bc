-- insert_appends
WITH batch AS ({batch})
INSERT INTO appends (topic, partition_no, entry_offset, entry_key, entry_id, submission_id, record_id, version, envelope)
SELECT topic, partition_no, entry_offset, entry_key, entry_id, submission_id, record_id, version, envelope
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (topic, partition_no, entry_offset) DO NOTHING
