CREATE TABLE consumer_groups (
    group_id TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    protocol_type TEXT NOT NULL,
    protocol TEXT,
    leader TEXT,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE consumer_group_members (
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    instance_id TEXT,
    client_id TEXT NOT NULL,
    client_host TEXT NOT NULL,
    session_timeout_ms INTEGER NOT NULL,
    rebalance_timeout_ms INTEGER NOT NULL,
    subscription BLOB NOT NULL,
    assignment BLOB NOT NULL,
    PRIMARY KEY (group_id, member_id)
) WITHOUT ROWID;
