-- insert_holders
WITH batch AS ({batch})
INSERT INTO holders (record_id, record_type, holder, from_version, until_version)
SELECT record_id, record_type, holder, from_version, until_version
FROM batch
WHERE TRUE -- so that ON CONFLICT is not read as the condition of a join
ON CONFLICT (record_id, holder, from_version) DO NOTHING -- one holder in two roles
