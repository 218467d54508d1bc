-- insert_identifiers
WITH batch AS ({batch})
INSERT INTO identifiers (record_id, record_type, identifier, from_version, until_version)
SELECT record_id, record_type, identifier, from_version, until_version
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (record_id, identifier, from_version) DO NOTHING
