-- reopen_quarantine
WITH batch AS ({batch})
UPDATE quarantine
SET closed = FALSE, closed_version = NULL
WHERE record_id IN (SELECT record_id FROM batch)
  AND closed_version > COALESCE((SELECT max(v.version) FROM versions v WHERE v.record_id = quarantine.record_id), 0)
