-- The embedded log. Written by one connection of one process; see writer.rs.

-- One row per topic. None of its columns ever changes.
CREATE TABLE topics (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    -- how many partitions; fixed for ever, since records are spread by it
    partitions INTEGER NOT NULL CHECK (partitions > 0),
    -- 1 when an entry takes the place of an earlier one with its key
    compacted  INTEGER NOT NULL CHECK (compacted IN (0, 1))
) STRICT;

-- Where each partition ends. Only ever rises, so that no offset is used twice, whatever is deleted from entries.
CREATE TABLE partitions (
    topic       INTEGER NOT NULL REFERENCES topics (id),
    number      INTEGER NOT NULL,
    -- the offset that the next entry gets
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, number)
) STRICT, WITHOUT ROWID;

-- What stands in the log. A row is never changed, save that in a compacted topic the row of a key moves to the new offset.
CREATE TABLE entries (
    topic     INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    -- 16 bytes, unique per entry
    entry_id  BLOB    NOT NULL,
    -- JSON: an array of [name, value], in the order given
    headers   TEXT    NOT NULL,
    -- the envelope
    value     BLOB    NOT NULL,
    -- that of the topic; stands here because an index can only look at its own table
    compacted INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
) STRICT;

CREATE UNIQUE INDEX entries_compacted_by_key ON entries (topic, partition, key) WHERE compacted = 1;

PRAGMA application_id = 0x57656674;
PRAGMA user_version = 1;
