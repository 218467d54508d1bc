-- end_identifiers
WITH batch AS ({batch}),
ending AS (
    SELECT s.record_id, s.identifier, s.from_version, min(b.ends) AS ends
    FROM batch b
    CROSS JOIN identifiers s
    WHERE s.record_id = b.record_id
      AND s.until_version IS NULL
      AND s.from_version < b.ends
    GROUP BY s.record_id, s.identifier, s.from_version
)
UPDATE identifiers
SET until_version = ending.ends
FROM ending
WHERE identifiers.record_id = ending.record_id
  AND identifiers.identifier = ending.identifier
  AND identifiers.from_version = ending.from_version
