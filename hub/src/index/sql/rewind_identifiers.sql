-- rewind_identifiers
WITH batch AS ({batch})
DELETE FROM identifiers
WHERE record_id IN (SELECT record_id FROM batch)
  AND from_version > COALESCE((SELECT max(v.version) FROM versions v WHERE v.record_id = identifiers.record_id), 0)
