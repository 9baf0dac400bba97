-- What every admission writes is kept in as few trees as can be: a row under its key, and a number as the row's own.

-- Numbers that only rise: sequences, serials, versions. `last` is the greatest ever given out.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    last BIGINT NOT NULL
) WITHOUT ROWID;

-- What has changed, for those who follow it: the notices of one commit in each row, kept for a short time. Every server
-- on this database tells its own followers from here, in the order of ids.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    notices TEXT NOT NULL       -- JSON
);

-- Every genesis revision, as it was signed.
CREATE TABLE genesis (
    revision BIGINT PRIMARY KEY,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL
);

CREATE TABLE policies (
    version BIGINT PRIMARY KEY,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    document TEXT NOT NULL,     -- the payload once more, to read here
    issued_at BIGINT NOT NULL
);

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    token BLOB NOT NULL UNIQUE, -- its hash
    roles TEXT NOT NULL,        -- JSON
    tags TEXT NOT NULL,         -- JSON
    uses_left BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- One row per identity that ever asked to come in and was not forgotten.
CREATE TABLE nodes (
    node BLOB PRIMARY KEY,
    identity BLOB NOT NULL,     -- `node` is its hash
    key_id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL,       -- pending, allowed, suspended, revoked, denied, readmitted
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    wireguard BLOB NOT NULL,
    sealing BLOB NOT NULL,
    roles TEXT NOT NULL,        -- JSON
    tags TEXT NOT NULL,         -- JSON
    wanted_routes TEXT NOT NULL,-- JSON
    routes TEXT NOT NULL,       -- JSON, approved
    ipv4 BIGINT,
    ipv6 BLOB,
    serial BIGINT,              -- of the certificate in force
    not_after BIGINT,           -- of that certificate
    keys_changed_at BIGINT NOT NULL,
    changed BIGINT NOT NULL,    -- the roster version that this row last changed
    described BIGINT NOT NULL,  -- the roster version at which name, roles, tags or routes last changed
    offline_since BIGINT,
    enrolled_at BIGINT NOT NULL
);
CREATE INDEX nodes_by_status ON nodes (status, since);
CREATE INDEX nodes_by_name ON nodes (name);
CREATE INDEX nodes_by_change ON nodes (changed);

-- Who may be known by a name, an address or a WireGuard key. A row whose `held_until` has passed may be handed on.
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    node BLOB NOT NULL,
    held_until BIGINT
) WITHOUT ROWID;
CREATE INDEX names_by_node ON names (node);
CREATE TABLE addresses (
    ipv4 INTEGER PRIMARY KEY,
    ipv6 BLOB NOT NULL UNIQUE,
    node BLOB NOT NULL,
    held_until BIGINT
);
CREATE INDEX addresses_by_node ON addresses (node);
CREATE TABLE wireguard_keys (
    wireguard BLOB PRIMARY KEY,
    node BLOB NOT NULL,
    taken_at BIGINT NOT NULL,
    held_until BIGINT           -- none: in use, or out with its node
) WITHOUT ROWID;
CREATE INDEX wireguard_keys_by_node ON wireguard_keys (node);

CREATE TABLE certificates (
    serial INTEGER PRIMARY KEY,
    node BLOB NOT NULL,
    revision BIGINT NOT NULL,   -- the genesis revision that it was signed under
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    wireguard BLOB NOT NULL,
    sealing BLOB NOT NULL,      -- the hash of the sealing key
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL
);
CREATE INDEX certificates_by_node ON certificates (node, serial);
CREATE INDEX certificates_by_end ON certificates (not_after);

-- Who is on the revocation list now. A suspension lies beside an earlier revocation, which stands when it is lifted.
CREATE TABLE list_entries (
    identity BLOB NOT NULL,
    kind TEXT NOT NULL,         -- revoked, suspended
    node BLOB NOT NULL,
    serials_up_to BIGINT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    keep_until BIGINT,          -- none: until the node is let in again
    PRIMARY KEY (identity, kind)
);

-- The lists that were signed; only the newest keeps its envelope.
CREATE TABLE lists (
    sequence BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL,
    digest BLOB NOT NULL,
    issued_at BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    envelope BLOB
);

-- Decisions that put somebody out, each by the first list that says so.
CREATE TABLE revocations (
    list BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL,
    node BLOB NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    bound BIGINT,               -- as published; none: nobody honest talks to the node
    settled BLOB                -- how it ended, once the bound has passed: JSON
);
CREATE INDEX revocations_open ON revocations (settled) WHERE settled IS NULL;

-- Who may talk to a revoked node until it has confirmed or stopped: fixed when the revocation is made, since nothing is
-- released without its list from then on.
CREATE TABLE holders (
    list BIGINT NOT NULL,
    node BLOB NOT NULL,
    stopped_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    PRIMARY KEY (list, node)
) WITHOUT ROWID;
CREATE INDEX holders_outstanding ON holders (list, stopped_at) WHERE confirmed_at IS NULL;
-- Receipts that were noted as overdue.
CREATE TABLE overdue (
    list BIGINT NOT NULL,
    node BLOB NOT NULL,
    PRIMARY KEY (list, node)
);

CREATE TABLE receipts (
    node BLOB PRIMARY KEY,
    sequence BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    list BIGINT NOT NULL,
    applied_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    envelope BLOB NOT NULL
);

-- Insert-once: a number is never opened twice. Only a redraw changes a row, and only before it begins.
CREATE TABLE epochs (
    number BIGINT PRIMARY KEY,
    redraw BIGINT NOT NULL,
    starts BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    secret BLOB NOT NULL,       -- encrypted
    opened_at BIGINT NOT NULL,
    complete BIGINT NOT NULL    -- 1: every node that may have its grant has it
);

-- The release ledger: every grant that ever left, until it cannot matter any more.
CREATE TABLE releases (
    id INTEGER PRIMARY KEY,
    node BLOB NOT NULL,
    epoch BIGINT NOT NULL,
    redraw BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    list BIGINT NOT NULL,
    released_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    stopped_at BIGINT NOT NULL
);
-- All that a revocation asks of the ledger: it takes 10,000 holders out of it at once.
CREATE INDEX releases_by_end ON releases (stopped_at, node, revision, list);

-- Spans of time of which the ledger may lack releases.
CREATE TABLE ledger_gaps (
    until BIGINT PRIMARY KEY,
    longest BIGINT NOT NULL     -- from a release to the end of its lease
);

-- The grants that a node may still ask for: those of an epoch's present drawing.
CREATE TABLE grants (
    node BLOB NOT NULL,
    epoch BIGINT NOT NULL,
    redraw BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    list BIGINT NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (node, epoch)
);
CREATE INDEX grants_by_drawing ON grants (epoch, redraw);

CREATE TABLE records (
    node BLOB PRIMARY KEY,
    sequence BIGINT NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    seen_from TEXT,             -- the source address, as a hint
    stored_at BIGINT NOT NULL,
    changed BIGINT NOT NULL     -- rises with every record that is taken
);
CREATE INDEX records_by_change ON records (changed);

CREATE TABLE presence (
    node BLOB PRIMARY KEY,
    last_seen BIGINT NOT NULL,
    program TEXT NOT NULL,
    revision BIGINT NOT NULL,
    list BIGINT NOT NULL,
    policy BIGINT NOT NULL,
    roster BIGINT NOT NULL,
    peers BIGINT NOT NULL,
    signed_at BIGINT NOT NULL   -- when the node signed its last heartbeat; an earlier one is a replay
);

-- Nonces of signed requests, spent together with their effect.
CREATE TABLE nonces (
    key_id BLOB NOT NULL,
    nonce BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, nonce)
) WITHOUT ROWID;
CREATE INDEX nonces_by_end ON nonces (expires_at);

-- API tokens, by their hashes.
CREATE TABLE tokens (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,         -- JSON
    operations TEXT,            -- JSON; none: all of the role
    made_by BLOB NOT NULL,      -- the operator without whom it does not count
    maker TEXT NOT NULL,        -- that operator's name
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);

-- What happened, each record chained to the one before. Rows are added and never changed.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    record BLOB NOT NULL,       -- the bytes that are hashed
    hash BLOB NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit records are never changed');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit records are never deleted');
END;

-- Signed heads of the audit log.
CREATE TABLE checkpoints (
    revision BIGINT NOT NULL,
    size BIGINT NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (revision, size)
);
CREATE INDEX checkpoints_by_size ON checkpoints (size);

-- There is a row from the moment a backup is restored until the authority may issue again.
CREATE TABLE recovery (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    backup_at BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,   -- the newest list that is merged so far
    list BIGINT NOT NULL
);

-- Nodes that may know of decisions that the backup does not hold.
CREATE TABLE recovery_nodes (
    node BLOB PRIMARY KEY,
    reported_at BIGINT
);
