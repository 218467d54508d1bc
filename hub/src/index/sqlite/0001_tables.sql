-- The tables of the index. Everything in them follows from the log. Times are milliseconds since 1970-01-01T00:00:00Z unless
-- said otherwise; flags are 0 or 1. No column holds clear text of a record or of a look. "Fixed" says that a column never
-- changes while its row stands.

CREATE TABLE positions (
    topic TEXT NOT NULL,            -- fixed; name without an installation's prefix
    partition_no INTEGER NOT NULL,  -- fixed
    next_offset INTEGER NOT NULL,   -- the next offset to be read; half of the compare-and-set of every commit
    recent TEXT NOT NULL,           -- JSON array, at most 64 of {offset, entry_id}, oldest first: how a cut-off log is recognised
    is_current INTEGER NOT NULL,    -- 0 while a repair is under way
    lease_owner TEXT,               -- the instance that works it; the other half of the compare-and-set
    lease_until INTEGER NOT NULL,   -- until when
    PRIMARY KEY (topic, partition_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    record_id TEXT NOT NULL,           -- fixed
    version INTEGER NOT NULL,          -- fixed; from 1 without holes
    record_type TEXT NOT NULL,         -- fixed
    department TEXT NOT NULL,          -- fixed; the department that sealed it
    event TEXT NOT NULL,               -- fixed
    status TEXT NOT NULL,              -- fixed; after this version, by the step table
    frozen INTEGER NOT NULL,           -- fixed; the flag after this version
    suspended INTEGER NOT NULL,        -- fixed; the flag after this version
    valid_from TEXT,                   -- local date YYYY-MM-DD; null once erased
    valid_until TEXT,                  -- local date, last day included; null is an open end, or erased
    iat INTEGER NOT NULL,              -- fixed; as sealed, in seconds
    accepted_at INTEGER NOT NULL,      -- fixed
    kid TEXT NOT NULL,                 -- fixed; RFC 7638 thumbprint of the sealing key
    submission_id BLOB NOT NULL,       -- fixed; SHA-256 of the sealed bytes
    content_digest BLOB NOT NULL,      -- fixed; keyed, "same content"
    substance_digest BLOB NOT NULL,    -- fixed; keyed, change detection
    erased INTEGER NOT NULL,           -- becomes 1 when a stub takes the version's place, and never 0 again
    topic TEXT NOT NULL,               -- fixed
    partition_no INTEGER NOT NULL,     -- fixed
    entry_offset INTEGER NOT NULL,     -- becomes the stub's
    entry_key TEXT NOT NULL,           -- fixed; a stub has the key of what it replaces
    entry_id BLOB NOT NULL,            -- becomes the stub's
    envelope BLOB NOT NULL,            -- becomes the stub's; the entry's value as it stands in the log
    indexed_offset INTEGER NOT NULL,   -- fixed; the offset that first brought it: what a rewind goes by. In no digest: after an
                                       -- erasure and compaction a rebuilt index has the stub's here
    PRIMARY KEY (record_id, version)
) STRICT;

CREATE INDEX versions_by_time ON versions (record_id, accepted_at);

CREATE TABLE heads (
    record_id TEXT NOT NULL PRIMARY KEY, -- fixed
    record_type TEXT NOT NULL,           -- fixed
    department TEXT NOT NULL,            -- fixed
    version INTEGER NOT NULL,            -- the highest indexed version
    status TEXT NOT NULL,                -- after it
    frozen INTEGER NOT NULL,             -- after it
    suspended INTEGER NOT NULL,          -- after it
    gap_version INTEGER                  -- the highest version waiting behind a gap above `version`; follows from outcomes
) STRICT, WITHOUT ROWID;

CREATE INDEX heads_by_department ON heads (department, record_type, record_id);

CREATE TABLE holders (
    record_id TEXT NOT NULL,        -- fixed
    record_type TEXT NOT NULL,      -- fixed
    holder BLOB NOT NULL,           -- fixed; keyed hash of scheme and value
    from_version INTEGER NOT NULL,  -- fixed; the first version with it
    until_version INTEGER,          -- the first version without it; null while it is one of the head's
    PRIMARY KEY (record_id, holder, from_version)
) STRICT, WITHOUT ROWID;

CREATE INDEX holders_by_holder ON holders (holder, record_type, record_id);

CREATE TABLE identifiers (
    record_id TEXT NOT NULL,        -- fixed
    record_type TEXT NOT NULL,      -- fixed
    identifier BLOB NOT NULL,       -- fixed; keyed hash of type, field and value
    from_version INTEGER NOT NULL,  -- fixed; the first version with it
    until_version INTEGER,          -- the first version without it; null while it is one of the head's
    PRIMARY KEY (record_id, identifier, from_version)
) STRICT, WITHOUT ROWID;

CREATE INDEX identifiers_by_identifier ON identifiers (identifier);

CREATE TABLE outcomes (
    submission_id BLOB NOT NULL PRIMARY KEY, -- fixed
    outcome TEXT NOT NULL,                   -- pending, indexed, duplicate, conflict, gap or quarantined
    reason TEXT,                             -- why, where it is quarantined
    record_id TEXT NOT NULL,                 -- empty where it could not be read
    version INTEGER NOT NULL,                -- 0 where it could not be read
    head INTEGER NOT NULL,                   -- the highest indexed version when it was judged; 0 for none
    topic TEXT NOT NULL,                     -- where the entry stands that it became so by
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL,
    at_ms INTEGER NOT NULL                   -- the time of acceptance in its envelope
) STRICT, WITHOUT ROWID;

CREATE INDEX outcomes_behind_a_gap ON outcomes (record_id, version) WHERE outcome = 'gap';

-- Outcomes that a later one replaced; a rewind brings them back. In no digest.
CREATE TABLE replaced_outcomes (
    submission_id BLOB NOT NULL,    -- fixed, as all columns here
    nth INTEGER NOT NULL,           -- 1 for the first that was replaced
    outcome TEXT NOT NULL,
    reason TEXT,
    record_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    head INTEGER NOT NULL,
    topic TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (submission_id, nth)
) STRICT, WITHOUT ROWID;

CREATE TABLE appends (
    topic TEXT NOT NULL,            -- fixed, as all columns here; a stub's row takes the place of those with its key
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL,
    entry_key TEXT NOT NULL,        -- compaction goes by it, and a stub is written under it
    entry_id BLOB NOT NULL,
    submission_id BLOB,             -- where it carries one
    record_id TEXT,                 -- where it bears on one
    version INTEGER,                -- of that record
    envelope BLOB,                  -- null only where the same bytes stand in versions or ledger
    PRIMARY KEY (topic, partition_no, entry_offset)
) STRICT;

CREATE INDEX appends_by_version ON appends (record_id, version) WHERE record_id IS NOT NULL;

CREATE TABLE quarantine (
    id TEXT NOT NULL PRIMARY KEY,   -- fixed; submission id in hex, topic/partition/offset for what was written past the hub
    department TEXT NOT NULL,       -- empty where nobody is known
    sender TEXT NOT NULL,           -- department/adapter
    record_type TEXT NOT NULL,      -- empty where it could not be read
    record_id TEXT NOT NULL,        -- empty where it could not be read
    version INTEGER NOT NULL,       -- 0 where it could not be read
    at_ms INTEGER NOT NULL,         -- when the hub took it
    stage TEXT NOT NULL,            -- shape, token, sender, key, content, apply or foreign
    problems TEXT NOT NULL,         -- JSON array: pointer, reason, rule; no value of the record
    closed INTEGER NOT NULL,        -- whether a right one has come
    closed_version INTEGER,         -- by which version of the record; null where it was closed otherwise
    topic TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX quarantine_open_by_record ON quarantine (record_id, version) WHERE NOT closed;
CREATE INDEX quarantine_open_by_sender ON quarantine (sender) WHERE NOT closed;
CREATE INDEX quarantine_closed_by_record ON quarantine (record_id, closed_version) WHERE closed_version IS NOT NULL;
CREATE INDEX quarantine_by_time ON quarantine (at_ms, id);

CREATE TABLE ledger (
    entry_id BLOB NOT NULL PRIMARY KEY, -- fixed, as all columns here; the look id
    entry_offset INTEGER NOT NULL,      -- in the ledger's one partition
    kind TEXT NOT NULL,                 -- look, look_denied …
    window_name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    holder BLOB,                        -- keyed hash of the holder asked about
    records TEXT NOT NULL,              -- JSON array of [record_id, version]: what a repeat is answered from
    department TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX ledger_by_offset ON ledger (entry_offset);
CREATE INDEX ledger_by_request ON ledger (window_name, request_id, entry_offset);

CREATE TABLE alarms (
    id TEXT NOT NULL PRIMARY KEY,   -- fixed, as all columns here; alarm/topic/partition/offset
    alarm TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    topic TEXT NOT NULL,
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL,
    detail TEXT NOT NULL            -- no personal data
) STRICT, WITHOUT ROWID;

CREATE INDEX alarms_by_time ON alarms (at_ms, id);

-- Entries that a rewind took out: what the log may have lost. In no digest.
CREATE TABLE lost (
    topic TEXT NOT NULL,            -- fixed, as all columns here
    partition_no INTEGER NOT NULL,
    entry_offset INTEGER NOT NULL,  -- where it stood
    entry_key TEXT NOT NULL,
    entry_id BLOB NOT NULL,
    submission_id BLOB,
    record_id TEXT,
    version INTEGER,
    envelope BLOB,                  -- null where it was erased: there is nothing to append again
    PRIMARY KEY (topic, partition_no, entry_offset, entry_id)
) STRICT;

-- One row: the registry offset that a looker's view must have reached. Only rises. In no digest.
CREATE TABLE registry_floor (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), -- fixed
    floor INTEGER NOT NULL
) STRICT;

INSERT INTO registry_floor (one, floor) VALUES (1, 0);

-- Written and emptied by the probe of readiness.
CREATE TABLE probes (
    at_probe INTEGER NOT NULL       -- always 1
) STRICT;
