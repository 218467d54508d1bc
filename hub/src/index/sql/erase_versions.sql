-- erase_versions
WITH batch AS ({batch})
UPDATE versions
SET
    erased = TRUE,
    valid_from = NULL, -- a stub does not say them
    valid_until = NULL,
    entry_offset = b.entry_offset,
    entry_id = b.entry_id,
    envelope = b.envelope
FROM batch b
WHERE versions.record_id = b.record_id
  AND versions.version = b.version
  AND versions.topic = b.topic
  AND versions.partition_no = b.partition_no
  AND versions.entry_key = b.entry_key -- a stub under another append's key takes only that append's place
  AND b.envelope IS NOT NULL
