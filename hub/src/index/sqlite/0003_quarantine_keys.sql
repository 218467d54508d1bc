-- outcomes.reason also holds, of a conflict, the digest of the content that stands, in hex: 0001 does not say so, and what has been run is
-- not written anew.

-- What somebody overwrote in quarantine is found by its key.
CREATE INDEX appends_in_quarantine ON appends (entry_key) WHERE topic = 'weft.quarantine';
