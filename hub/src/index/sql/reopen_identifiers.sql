-- reopen_identifiers
WITH batch AS ({batch})
UPDATE identifiers
SET until_version = NULL
WHERE record_id IN (SELECT record_id FROM batch)
  AND until_version > COALESCE((SELECT max(v.version) FROM versions v WHERE v.record_id = identifiers.record_id), 0)
