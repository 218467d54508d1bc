-- What an adapter must not lose. Values of records stand here encrypted alone (columns `draft`, `sealed`, `text`).

-- Facts about the state as a whole: `heads:<record type>` = done, when the hub's heads were taken over.
CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY,  -- never changes
    value TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS records (
    record_id         TEXT PRIMARY KEY,     -- never changes
    record_type       TEXT NOT NULL,        -- never changes
    head_version      INTEGER NOT NULL,     -- the highest version known to be indexed; 0 for none
    head_state        TEXT,                 -- status and flags after it (JSON); NULL for none
    head_substance    BLOB,                 -- keyed digest of what it says; NULL for none
    tip_version       INTEGER NOT NULL,     -- the highest version sealed here and not refused; the head when nothing is under way
    tip_state         TEXT,                 -- status and flags after it (JSON)
    tip_substance     BLOB,                 -- what a new row is compared with
    refused_substance BLOB,                 -- what the hub refused last: not sent again until it changes
    unit              BLOB,                 -- the unit whose row was taken last
    unit_rank         INTEGER,              -- and which of the record's rows in it, from 0
    row_order         INTEGER               -- the greatest value of the ordering column that was taken
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS submissions (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of sending; never changes
    submission_id BLOB NOT NULL UNIQUE,               -- SHA-256 of the sealed bytes; never changes
    record_id     TEXT NOT NULL,                      -- never changes
    record_type   TEXT NOT NULL,                      -- never changes
    version       INTEGER NOT NULL,                   -- never changes
    state_after   TEXT NOT NULL,                      -- status and flags after it (JSON); never changes
    substance     BLOB NOT NULL,                      -- never changes
    bytes         INTEGER NOT NULL,                   -- length of the sealed record
    stage         TEXT NOT NULL CHECK (stage IN ('ready', 'sent', 'receipted', 'held', 'released', 'refused', 'abandoned')),
    source        TEXT NOT NULL,                      -- the source that its row came from
    unit          BLOB NOT NULL,                      -- the unit of it
    file          TEXT NOT NULL,                      -- its name
    line          INTEGER NOT NULL,                   -- the row's line in it
    created_ms    INTEGER NOT NULL,
    touched_ms    INTEGER NOT NULL,                   -- when it entered its stage
    -- Long texts stand last: what is before them is read without them.
    draft         BLOB,                               -- what it was sealed from, encrypted; until it ended
    sealed        BLOB                                -- the sealed record, encrypted; until seven days after it ended
) STRICT;
CREATE INDEX IF NOT EXISTS submissions_by_stage ON submissions (stage, seq);
CREATE INDEX IF NOT EXISTS submissions_by_record ON submissions (record_id, seq);
CREATE INDEX IF NOT EXISTS submissions_by_unit ON submissions (unit);

CREATE TABLE IF NOT EXISTS problems (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    source    TEXT NOT NULL,
    unit      BLOB NOT NULL,
    file      TEXT NOT NULL,
    line      INTEGER NOT NULL,
    place     TEXT NOT NULL,      -- column heading or JSON Pointer
    reason    TEXT NOT NULL,
    record_id TEXT,               -- the record that the row is about, where its key could be read
    note      INTEGER NOT NULL,   -- 1: the record went on its way
    text      BLOB NOT NULL,      -- the whole problem (JSON), encrypted
    found_ms  INTEGER NOT NULL,
    closed_ms INTEGER,            -- when the record was indexed after all, or a newer unit replaced the row
    UNIQUE (unit, line, place, reason)
) STRICT;
CREATE INDEX IF NOT EXISTS problems_by_record ON problems (record_id) WHERE closed_ms IS NULL;

-- Units worked off, by a digest of content and mapping: the same is done once.
CREATE TABLE IF NOT EXISTS units (
    unit    BLOB PRIMARY KEY,
    name    TEXT NOT NULL,
    rows    INTEGER NOT NULL,
    mapped  INTEGER NOT NULL,
    done_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS units_by_name ON units (name);

-- How far the unit that a source has in hand was read. Written with the rows that it speaks of; gone when the unit is worked off.
CREATE TABLE IF NOT EXISTS readings (
    source  TEXT PRIMARY KEY,  -- never changes
    unit    BLOB NOT NULL,
    planned BLOB NOT NULL,     -- what its first reading found (JSON), encrypted
    reached BLOB               -- how far its rows were taken (JSON), encrypted; NULL before the first
) STRICT;

-- Which records had a row in the whole snapshots of a source. The generation is the reading that saw it last.
CREATE TABLE IF NOT EXISTS presence (
    source      TEXT NOT NULL,     -- never changes
    record_id   TEXT NOT NULL,     -- never changes
    generation  INTEGER NOT NULL,  -- counts the readings of snapshots of the source
    line        INTEGER NOT NULL,  -- where the row stood
    vanished_ms INTEGER,           -- when it was found to be gone; NULL while it is there
    PRIMARY KEY (source, record_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS presence_by_generation ON presence (source, generation) WHERE vanished_ms IS NULL;

-- What a person or the hub asked of the adapter. An order is carried out once, whatever happens in between.
CREATE TABLE IF NOT EXISTS orders (
    id       TEXT PRIMARY KEY,  -- never changes
    kind     TEXT NOT NULL,     -- pause, resume, resync, reconcile, renew, rotate_key; never changes
    source   TEXT NOT NULL,     -- empty for all; never changes
    since_ms INTEGER,           -- of a resync; never changes
    repair   INTEGER NOT NULL,  -- of a reconcile; never changes
    asked_ms INTEGER NOT NULL,  -- never changes
    ended_ms INTEGER,           -- NULL while it is to be carried out
    done     INTEGER NOT NULL,  -- 1: carried out; 0: not, or refused
    zh       TEXT NOT NULL,     -- what came of it
    en       TEXT NOT NULL
) STRICT;
