-- upsert_outcomes
WITH batch AS ({batch})
INSERT INTO outcomes (submission_id, outcome, reason, record_id, version, head, topic, partition_no, entry_offset, at_ms)
SELECT submission_id, outcome, reason, record_id, version, head, topic, partition_no, entry_offset, at_ms
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (submission_id) DO UPDATE SET
    outcome = excluded.outcome,
    reason = excluded.reason,
    record_id = excluded.record_id,
    version = excluded.version,
    head = excluded.head,
    topic = excluded.topic,
    partition_no = excluded.partition_no,
    entry_offset = excluded.entry_offset,
    at_ms = excluded.at_ms
-- What was refused at the door never outranks what a records topic brought, whichever is applied first.
WHERE NOT (excluded.topic = 'weft.quarantine' AND outcomes.topic <> 'weft.quarantine')
