-- rewind_versions
DELETE FROM versions
WHERE topic = $1 AND partition_no = $2 AND indexed_offset >= $3
RETURNING record_id, submission_id
