-- insert_versions
WITH batch AS ({batch})
INSERT INTO versions (
    record_id, version, record_type, department, event, status, frozen, suspended, valid_from, valid_until, iat, accepted_at,
    kid, submission_id, content_digest, substance_digest, erased, topic, partition_no, entry_offset, entry_key, entry_id,
    envelope, indexed_offset
)
SELECT
    record_id, version, record_type, department, event, status, frozen, suspended, valid_from, valid_until, iat, accepted_at,
    kid, submission_id, content_digest, substance_digest, erased, topic, partition_no, entry_offset, entry_key, entry_id,
    envelope, entry_offset
FROM batch
