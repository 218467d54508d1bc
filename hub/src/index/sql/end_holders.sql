-- end_holders
WITH batch AS ({batch}),
ending AS (
    SELECT s.record_id, s.holder, s.from_version, min(b.ends) AS ends
    FROM batch b
    CROSS JOIN holders s
    WHERE s.record_id = b.record_id
      AND s.until_version IS NULL
      AND s.from_version < b.ends
    GROUP BY s.record_id, s.holder, s.from_version
)
UPDATE holders
SET until_version = ending.ends
FROM ending
WHERE holders.record_id = ending.record_id
  AND holders.holder = ending.holder
  AND holders.from_version = ending.from_version
