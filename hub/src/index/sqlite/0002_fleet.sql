-- What adapters said of themselves last, for every instance to see. It follows from no log: a heartbeat renews it, so it is in no
-- digest and in no rebuild.

CREATE TABLE fleet (
    sender TEXT NOT NULL PRIMARY KEY, -- fixed; department/adapter
    heard_ms INTEGER NOT NULL,           -- when an instance heard it last, by that instance's clock
    instance TEXT NOT NULL,           -- which
    report BLOB NOT NULL              -- weft.v1.FleetEntry: its hello and its heartbeat; no value of a record
) STRICT, WITHOUT ROWID;
