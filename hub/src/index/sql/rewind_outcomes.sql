-- rewind_outcomes
DELETE FROM outcomes
WHERE topic = $1 AND partition_no = $2 AND entry_offset >= $3
RETURNING record_id, submission_id
