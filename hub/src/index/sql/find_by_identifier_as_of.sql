-- find_by_identifier_as_of
WITH batch AS ({batch})
SELECT found.slot, found.record_id
FROM (
    SELECT b.slot, b.most, s.record_id, row_number() OVER (PARTITION BY b.slot ORDER BY s.record_id) AS nth
    FROM batch b
    CROSS JOIN identifiers s
    CROSS JOIN versions v
    WHERE s.identifier = b.hash
      AND s.record_type = b.record_type
      AND s.record_id > b.after
      AND v.record_id = s.record_id
      AND v.version = (
          SELECT max(w.version) FROM versions w WHERE w.record_id = s.record_id AND w.accepted_at <= b.as_of
      )
      AND s.from_version <= v.version
      AND (s.until_version IS NULL OR v.version < s.until_version)
) found
WHERE found.nth <= found.most
ORDER BY found.slot, found.record_id
