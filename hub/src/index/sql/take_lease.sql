-- take_lease
INSERT INTO positions (topic, partition_no, next_offset, recent, is_current, lease_owner, lease_until)
VALUES ($1, $2, 0, '[]', TRUE, $3, $5)
ON CONFLICT (topic, partition_no) DO UPDATE SET
    lease_owner = excluded.lease_owner,
    lease_until = excluded.lease_until
WHERE positions.lease_owner IS NULL                 -- free
   OR positions.lease_owner = excluded.lease_owner  -- renewed
   OR positions.lease_until <= $4                   -- run out
RETURNING topic, partition_no, next_offset, recent, is_current, lease_owner, lease_until
