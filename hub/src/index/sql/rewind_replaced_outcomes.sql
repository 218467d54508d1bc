-- rewind_replaced_outcomes
DELETE FROM replaced_outcomes
WHERE topic = $1 AND partition_no = $2 AND entry_offset >= $3
