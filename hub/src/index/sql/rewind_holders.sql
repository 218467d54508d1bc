-- rewind_holders
WITH batch AS ({batch})
DELETE FROM holders
WHERE record_id IN (SELECT record_id FROM batch)
  AND from_version > COALESCE((SELECT max(v.version) FROM versions v WHERE v.record_id = holders.record_id), 0)
