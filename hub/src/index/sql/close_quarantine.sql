-- close_quarantine
WITH batch AS ({batch}),
closing AS (
    SELECT q.id, min(b.version) AS closed_version
    FROM batch b
    CROSS JOIN quarantine q
    WHERE q.record_id = b.record_id
      AND NOT q.closed
      AND q.department = b.department
      AND q.version <= b.version
      -- Not by a version that was there before it: that holds whichever of the two is applied first.
      AND NOT EXISTS (
          SELECT 1 FROM versions v
          WHERE v.record_id = b.record_id AND v.version = b.version AND v.accepted_at < q.at_ms
      )
    GROUP BY q.id
)
UPDATE quarantine
SET closed = TRUE, closed_version = closing.closed_version
FROM closing
WHERE quarantine.id = closing.id
