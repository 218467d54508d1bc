-- advance
UPDATE positions
SET next_offset = $5, recent = $6
WHERE topic = $1
  AND partition_no = $2
  AND lease_owner = $3  -- another instance took the lease
  AND next_offset = $4  -- this instance was here before, and does not know it
