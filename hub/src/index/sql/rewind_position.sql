-- rewind_position
UPDATE positions
SET next_offset = $4, recent = $5, is_current = FALSE
WHERE topic = $1
  AND partition_no = $2
  AND lease_owner = $3
  AND next_offset >= $4 -- back, never forth
