-- quarantine_page
SELECT
    id, department, sender, record_type, record_id, version, at_ms, stage, problems, closed, topic, partition_no, entry_offset
FROM quarantine
WHERE ($1 = '' OR department = $1)
  -- After the last one of the page before; an id that is gone ends the pages.
  AND ($2 = '' OR (at_ms, id) < (SELECT q.at_ms, q.id FROM quarantine q WHERE q.id = $2))
ORDER BY at_ms DESC, id DESC
LIMIT $3
