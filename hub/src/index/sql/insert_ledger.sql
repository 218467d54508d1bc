-- insert_ledger
WITH batch AS ({batch})
INSERT INTO ledger (
    entry_id, entry_offset, kind, window_name, request_id, holder, records, department, at_ms, envelope
)
SELECT entry_id, entry_offset, kind, window_name, request_id, holder, records, department, at_ms, envelope
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (entry_id) DO NOTHING
