-- keep_replaced_outcomes
WITH batch AS ({batch})
INSERT INTO replaced_outcomes (
    submission_id, nth, outcome, reason, record_id, version, head, topic, partition_no, entry_offset, at_ms
)
SELECT
    o.submission_id,
    1 + COALESCE((SELECT max(r.nth) FROM replaced_outcomes r WHERE r.submission_id = o.submission_id), 0),
    o.outcome, o.reason, o.record_id, o.version, o.head, o.topic, o.partition_no, o.entry_offset, o.at_ms
FROM batch b
CROSS JOIN outcomes o
WHERE o.submission_id = b.submission_id
  -- not where the same is written again
  AND (o.outcome <> b.outcome OR o.topic <> b.topic OR o.partition_no <> b.partition_no OR o.entry_offset <> b.entry_offset)
  -- not where it stays
  AND NOT (b.topic = 'weft.quarantine' AND o.topic <> 'weft.quarantine')
