-- The tables of the index. Everything in them follows from the log. Times are milliseconds since 1970-01-01T00:00:00Z unless
-- said otherwise; text is compared byte by byte, as on SQLite. No column holds clear text of a record or of a look. "Fixed" says that a column never
-- changes while its row stands.

CREATE TABLE positions (
    topic TEXT COLLATE "C" NOT NULL,            -- fixed; name without an installation's prefix
    partition_no BIGINT NOT NULL,  -- fixed
    next_offset BIGINT NOT NULL,   -- the next offset to be read; half of the compare-and-set of every commit
    recent TEXT COLLATE "C" NOT NULL,           -- JSON array, at most 64 of {offset, entry_id}, oldest first: how a cut-off log is recognised
    is_current BOOLEAN NOT NULL,    -- false while a repair is under way
    lease_owner TEXT COLLATE "C",               -- the instance that works it; the other half of the compare-and-set
    lease_until BIGINT NOT NULL,   -- until when
    PRIMARY KEY (topic, partition_no)
);

CREATE TABLE versions (
    record_id TEXT COLLATE "C" NOT NULL,           -- fixed
    version BIGINT NOT NULL,          -- fixed; from 1 without holes
    record_type TEXT COLLATE "C" NOT NULL,         -- fixed
    department TEXT COLLATE "C" NOT NULL,          -- fixed; the department that sealed it
    event TEXT COLLATE "C" NOT NULL,               -- fixed
    status TEXT COLLATE "C" NOT NULL,              -- fixed; after this version, by the step table
    frozen BOOLEAN NOT NULL,           -- fixed; the flag after this version
    suspended BOOLEAN NOT NULL,        -- fixed; the flag after this version
    valid_from TEXT COLLATE "C",                   -- local date YYYY-MM-DD; null once erased
    valid_until TEXT COLLATE "C",                  -- local date, last day included; null is an open end, or erased
    iat BIGINT NOT NULL,              -- fixed; as sealed, in seconds
    accepted_at BIGINT NOT NULL,      -- fixed
    kid TEXT COLLATE "C" NOT NULL,                 -- fixed; RFC 7638 thumbprint of the sealing key
    submission_id BYTEA NOT NULL,       -- fixed; SHA-256 of the sealed bytes
    content_digest BYTEA NOT NULL,      -- fixed; keyed, "same content"
    substance_digest BYTEA NOT NULL,    -- fixed; keyed, change detection
    erased BOOLEAN NOT NULL,           -- becomes true when a stub takes the version's place, and never false again
    topic TEXT COLLATE "C" NOT NULL,               -- fixed
    partition_no BIGINT NOT NULL,     -- fixed
    entry_offset BIGINT NOT NULL,     -- becomes the stub's
    entry_key TEXT COLLATE "C" NOT NULL,           -- fixed; a stub has the key of what it replaces
    entry_id BYTEA NOT NULL,            -- becomes the stub's
    envelope BYTEA NOT NULL,            -- becomes the stub's; the entry's value as it stands in the log
    indexed_offset BIGINT NOT NULL,   -- fixed; the offset that first brought it: what a rewind goes by. In no digest: after an
                                       -- erasure and compaction a rebuilt index has the stub's here
    PRIMARY KEY (record_id, version)
);

CREATE INDEX versions_by_time ON versions (record_id, accepted_at);

CREATE TABLE heads (
    record_id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- fixed
    record_type TEXT COLLATE "C" NOT NULL,           -- fixed
    department TEXT COLLATE "C" NOT NULL,            -- fixed
    version BIGINT NOT NULL,            -- the highest indexed version
    status TEXT COLLATE "C" NOT NULL,                -- after it
    frozen BOOLEAN NOT NULL,             -- after it
    suspended BOOLEAN NOT NULL,          -- after it
    gap_version BIGINT                  -- the highest version waiting behind a gap above `version`; follows from outcomes
);

CREATE INDEX heads_by_department ON heads (department, record_type, record_id);

CREATE TABLE holders (
    record_id TEXT COLLATE "C" NOT NULL,        -- fixed
    record_type TEXT COLLATE "C" NOT NULL,      -- fixed
    holder BYTEA NOT NULL,           -- fixed; keyed hash of scheme and value
    from_version BIGINT NOT NULL,  -- fixed; the first version with it
    until_version BIGINT,          -- the first version without it; null while it is one of the head's
    PRIMARY KEY (record_id, holder, from_version)
);

CREATE INDEX holders_by_holder ON holders (holder, record_type, record_id);

CREATE TABLE identifiers (
    record_id TEXT COLLATE "C" NOT NULL,        -- fixed
    record_type TEXT COLLATE "C" NOT NULL,      -- fixed
    identifier BYTEA NOT NULL,       -- fixed; keyed hash of type, field and value
    from_version BIGINT NOT NULL,  -- fixed; the first version with it
    until_version BIGINT,          -- the first version without it; null while it is one of the head's
    PRIMARY KEY (record_id, identifier, from_version)
);

CREATE INDEX identifiers_by_identifier ON identifiers (identifier);

CREATE TABLE outcomes (
    submission_id BYTEA NOT NULL PRIMARY KEY, -- fixed
    outcome TEXT COLLATE "C" NOT NULL,                   -- pending, indexed, duplicate, conflict, gap or quarantined
    reason TEXT COLLATE "C",                             -- why, where it is quarantined
    record_id TEXT COLLATE "C" NOT NULL,                 -- empty where it could not be read
    version BIGINT NOT NULL,                -- 0 where it could not be read
    head BIGINT NOT NULL,                   -- the highest indexed version when it was judged; 0 for none
    topic TEXT COLLATE "C" NOT NULL,                     -- where the entry stands that it became so by
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL,
    at_ms BIGINT NOT NULL                   -- the time of acceptance in its envelope
);

CREATE INDEX outcomes_behind_a_gap ON outcomes (record_id, version) WHERE outcome = 'gap';

-- Outcomes that a later one replaced; a rewind brings them back. In no digest.
CREATE TABLE replaced_outcomes (
    submission_id BYTEA NOT NULL,    -- fixed, as all columns here
    nth BIGINT NOT NULL,           -- 1 for the first that was replaced
    outcome TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    record_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    head BIGINT NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (submission_id, nth)
);

CREATE TABLE appends (
    topic TEXT COLLATE "C" NOT NULL,            -- fixed, as all columns here; a stub's row takes the place of those with its key
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL,
    entry_key TEXT COLLATE "C" NOT NULL,        -- compaction goes by it, and a stub is written under it
    entry_id BYTEA NOT NULL,
    submission_id BYTEA,             -- where it carries one
    record_id TEXT COLLATE "C",                 -- where it bears on one
    version BIGINT,                -- of that record
    envelope BYTEA,                  -- null only where the same bytes stand in versions or ledger
    PRIMARY KEY (topic, partition_no, entry_offset)
);

CREATE INDEX appends_by_version ON appends (record_id, version) WHERE record_id IS NOT NULL;

CREATE TABLE quarantine (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,   -- fixed; submission id in hex, topic/partition/offset for what was written past the hub
    department TEXT COLLATE "C" NOT NULL,       -- empty where nobody is known
    sender TEXT COLLATE "C" NOT NULL,           -- department/adapter
    record_type TEXT COLLATE "C" NOT NULL,      -- empty where it could not be read
    record_id TEXT COLLATE "C" NOT NULL,        -- empty where it could not be read
    version BIGINT NOT NULL,       -- 0 where it could not be read
    at_ms BIGINT NOT NULL,         -- when the hub took it
    stage TEXT COLLATE "C" NOT NULL,            -- shape, token, sender, key, content, apply or foreign
    problems TEXT COLLATE "C" NOT NULL,         -- JSON array: pointer, reason, rule; no value of the record
    closed BOOLEAN NOT NULL,        -- whether a right one has come
    closed_version BIGINT,         -- by which version of the record; null where it was closed otherwise
    topic TEXT COLLATE "C" NOT NULL,
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL
);

CREATE INDEX quarantine_open_by_record ON quarantine (record_id, version) WHERE NOT closed;
CREATE INDEX quarantine_open_by_sender ON quarantine (sender) WHERE NOT closed;
CREATE INDEX quarantine_closed_by_record ON quarantine (record_id, closed_version) WHERE closed_version IS NOT NULL;
CREATE INDEX quarantine_by_time ON quarantine (at_ms, id);

CREATE TABLE ledger (
    entry_id BYTEA NOT NULL PRIMARY KEY, -- fixed, as all columns here; the look id
    entry_offset BIGINT NOT NULL,      -- in the ledger's one partition
    kind TEXT COLLATE "C" NOT NULL,                 -- look, look_denied …
    window_name TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    holder BYTEA,                        -- keyed hash of the holder asked about
    records TEXT COLLATE "C" NOT NULL,              -- JSON array of [record_id, version]: what a repeat is answered from
    department TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    envelope BYTEA NOT NULL
);

CREATE UNIQUE INDEX ledger_by_offset ON ledger (entry_offset);
CREATE INDEX ledger_by_request ON ledger (window_name, request_id, entry_offset);

CREATE TABLE alarms (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,   -- fixed, as all columns here; alarm/topic/partition/offset
    alarm TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL,
    detail TEXT COLLATE "C" NOT NULL            -- no personal data
);

CREATE INDEX alarms_by_time ON alarms (at_ms, id);

-- Entries that a rewind took out: what the log may have lost. In no digest.
CREATE TABLE lost (
    topic TEXT COLLATE "C" NOT NULL,            -- fixed, as all columns here
    partition_no BIGINT NOT NULL,
    entry_offset BIGINT NOT NULL,  -- where it stood
    entry_key TEXT COLLATE "C" NOT NULL,
    entry_id BYTEA NOT NULL,
    submission_id BYTEA,
    record_id TEXT COLLATE "C",
    version BIGINT,
    envelope BYTEA,                  -- null where it was erased: there is nothing to append again
    PRIMARY KEY (topic, partition_no, entry_offset, entry_id)
);

-- One row: the registry offset that a looker's view must have reached. Only rises. In no digest.
CREATE TABLE registry_floor (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1), -- fixed
    floor BIGINT NOT NULL
);

INSERT INTO registry_floor (one, floor) VALUES (1, 0);

-- Written and emptied by the probe of readiness.
CREATE TABLE probes (
    at_probe BIGINT NOT NULL       -- always 1
);
