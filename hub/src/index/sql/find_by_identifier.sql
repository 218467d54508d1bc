-- find_by_identifier
WITH batch AS ({batch})
SELECT found.slot, found.record_id
FROM (
    SELECT b.slot, b.most, s.record_id, row_number() OVER (PARTITION BY b.slot ORDER BY s.record_id) AS nth
    FROM batch b
    CROSS JOIN identifiers s
    WHERE s.identifier = b.hash
      AND s.record_type = b.record_type
      AND s.record_id > b.after
      AND s.until_version IS NULL -- spans of the head
) found
WHERE found.nth <= found.most
ORDER BY found.slot, found.record_id
