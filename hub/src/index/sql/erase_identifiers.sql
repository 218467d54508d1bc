-- erase_identifiers
WITH batch AS ({batch})
DELETE FROM identifiers
WHERE record_id IN (SELECT record_id FROM batch)
  AND EXISTS (
        SELECT 1 FROM batch b
        JOIN versions v ON v.record_id = b.record_id AND v.version = b.version
        WHERE identifiers.record_id = b.record_id
          AND identifiers.from_version = b.version
          AND v.topic = b.topic
          AND v.partition_no = b.partition_no
          AND v.entry_key = b.entry_key -- a stub in place of another append says nothing of the version
  )
