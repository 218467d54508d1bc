-- drop_empty_heads
WITH batch AS ({batch})
DELETE FROM heads
WHERE record_id IN (SELECT record_id FROM batch)
  AND version = 0 -- no version of it stands
