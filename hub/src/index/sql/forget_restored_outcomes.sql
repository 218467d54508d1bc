-- forget_restored_outcomes
WITH batch AS ({batch})
DELETE FROM replaced_outcomes
WHERE submission_id IN (SELECT submission_id FROM batch)
  AND nth = (SELECT max(s.nth) FROM replaced_outcomes s WHERE s.submission_id = replaced_outcomes.submission_id)
