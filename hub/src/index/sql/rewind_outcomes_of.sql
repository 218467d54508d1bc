-- rewind_outcomes_of
WITH batch AS ({batch})
DELETE FROM outcomes
WHERE submission_id IN (SELECT submission_id FROM batch)
  AND outcome = 'indexed' -- its version is gone, wherever the entry stands that is named
