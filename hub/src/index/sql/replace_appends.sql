-- replace_appends
WITH batch AS ({batch})
DELETE FROM appends
WHERE EXISTS (
    SELECT 1 FROM batch b
    WHERE appends.record_id = b.record_id
      AND appends.version = b.version
      AND appends.topic = b.topic
      AND appends.partition_no = b.partition_no
      AND appends.entry_key = b.entry_key
      AND appends.entry_offset < b.entry_offset -- the stub's own row stays when a commit is repeated
)
  AND record_id IN (SELECT record_id FROM batch)
