-- restore_outcomes
WITH batch AS ({batch})
INSERT INTO outcomes (submission_id, outcome, reason, record_id, version, head, topic, partition_no, entry_offset, at_ms)
SELECT r.submission_id, r.outcome, r.reason, r.record_id, r.version, r.head, r.topic, r.partition_no, r.entry_offset, r.at_ms
FROM replaced_outcomes r
WHERE r.submission_id IN (SELECT submission_id FROM batch)
  AND r.nth = (SELECT max(s.nth) FROM replaced_outcomes s WHERE s.submission_id = r.submission_id)
ON CONFLICT (submission_id) DO NOTHING
