-- upsert_quarantine
WITH batch AS ({batch}),
closing AS (
    -- The first version accepted since that is as high: it may have been applied before the quarantine entry was.
    SELECT b.id, min(v.version) AS closed_version
    FROM batch b
    CROSS JOIN versions v
    WHERE v.record_id = b.record_id
      AND v.department = b.department
      AND v.version >= b.version
      AND v.accepted_at >= b.at_ms
      AND b.version > 0
    GROUP BY b.id
)
INSERT INTO quarantine (
    id, department, sender, record_type, record_id, version, at_ms, stage, problems, closed, closed_version, topic,
    partition_no, entry_offset
)
SELECT
    b.id, b.department, b.sender, b.record_type, b.record_id, b.version, b.at_ms, b.stage, b.problems,
    b.closed OR c.closed_version IS NOT NULL,
    CASE WHEN b.closed THEN NULL ELSE c.closed_version END,
    b.topic, b.partition_no, b.entry_offset
FROM batch b
LEFT JOIN closing c ON c.id = b.id
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (id) DO UPDATE SET
    department = excluded.department,
    sender = excluded.sender,
    record_type = excluded.record_type,
    record_id = excluded.record_id,
    version = excluded.version,
    at_ms = excluded.at_ms,
    stage = excluded.stage,
    problems = excluded.problems,
    closed = excluded.closed,
    closed_version = excluded.closed_version,
    topic = excluded.topic,
    partition_no = excluded.partition_no,
    entry_offset = excluded.entry_offset
