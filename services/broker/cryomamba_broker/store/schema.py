"""The job store's tables, as a list of migrations: entry ``i`` leads from schema ``i`` to schema ``i + 1``.

``lease_until`` and ``not_before`` are seconds of the running broker's steady clock and are set again when a broker
starts; ``worker_key`` is the public key of the worker's connection, empty on an open bus; ``reserved`` is the disk
space that is reserved for a job, in bytes; ``strokes`` counts how often the strokes of a job have changed; all other
times are seconds since 1970. A delivery may outlive its job. ``turns`` has the number of the claim with which an owner
was given a job last, by pool of equal workers.
"""

from typing import Final

APPLICATION_ID: Final = 0x43724D62

MIGRATIONS: Final = (
    """
    CREATE TABLE jobs (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
        name TEXT NOT NULL,
        engine TEXT NOT NULL,
        params TEXT NOT NULL,
        volume TEXT NOT NULL,
        preview TEXT NOT NULL,
        priority INTEGER NOT NULL,
        client_key TEXT UNIQUE,
        fingerprint TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0,
        worker TEXT,
        lease_until REAL,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        progress TEXT NOT NULL DEFAULT '{}',
        focus TEXT,
        artifacts TEXT NOT NULL DEFAULT '[]',
        created_at REAL NOT NULL,
        started_at REAL,
        updated_at REAL NOT NULL,
        completed_at REAL,
        CHECK ((state = 'running') = (lease_until IS NOT NULL)),
        CHECK ((state = 'running') = (worker IS NOT NULL))
    ) STRICT;
    CREATE INDEX jobs_waiting ON jobs (priority DESC, serial) WHERE state = 'pending';
    CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
    CREATE INDEX jobs_by_state ON jobs (state, serial);
    CREATE TABLE attempts (
        job INTEGER NOT NULL REFERENCES jobs (serial) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        worker TEXT NOT NULL,
        started_at REAL NOT NULL,
        ended_at REAL,
        outcome TEXT CHECK (outcome IN ('finish', 'fail', 'release', 'lost')),
        error TEXT,
        PRIMARY KEY (job, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL REFERENCES jobs (serial) ON DELETE CASCADE,
        type TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        at REAL NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_of_job ON events (job, n);
    CREATE TABLE engines (
        name TEXT PRIMARY KEY,
        info TEXT NOT NULL,
        seen_at REAL NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    CREATE INDEX jobs_by_owner ON jobs (owner, serial);
    """,
    """
    ALTER TABLE jobs ADD COLUMN room INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE jobs RENAME COLUMN room TO reserved;
    """,
    """
    ALTER TABLE jobs ADD COLUMN worker_key TEXT NOT NULL DEFAULT '';
    ALTER TABLE attempts ADD COLUMN worker_key TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE jobs ADD COLUMN within TEXT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE jobs ADD COLUMN estimates TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE jobs ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE webhooks (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        everything INTEGER NOT NULL,
        registered_by TEXT NOT NULL,
        url TEXT NOT NULL,
        events TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at REAL NOT NULL,
        failing_since REAL,
        disabled_at REAL,
        disabled_reason TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX webhooks_by_owner ON webhooks (owner, serial);
    CREATE TABLE deliveries (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        webhook INTEGER NOT NULL REFERENCES webhooks (serial) ON DELETE CASCADE,
        type TEXT NOT NULL,
        job TEXT,
        body TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
        tries INTEGER NOT NULL DEFAULT 0,
        claim INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        due_at REAL NOT NULL,
        leased_until REAL,
        ended_at REAL,
        response_status INTEGER,
        error TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries (due_at, serial) WHERE state = 'pending';
    CREATE INDEX deliveries_leased ON deliveries (webhook, leased_until) WHERE leased_until IS NOT NULL;
    CREATE INDEX deliveries_of_webhook ON deliveries (webhook, serial);
    CREATE INDEX deliveries_of_job ON deliveries (job);
    """,
    """
    DROP INDEX deliveries_due;
    CREATE INDEX deliveries_pending ON deliveries (webhook, due_at, serial, created_at) WHERE state = 'pending';
    """,
    """
    ALTER TABLE jobs ADD COLUMN model TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE jobs ADD COLUMN strokes INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE jobs ADD COLUMN model_sha256 TEXT NOT NULL DEFAULT '';
    """,
    """
    DROP INDEX jobs_waiting;
    CREATE INDEX jobs_queued ON jobs (owner, created_at - priority * 86400.0, serial) WHERE state = 'pending';
    CREATE TABLE turns (
        pool TEXT NOT NULL,
        owner TEXT NOT NULL,
        turn INTEGER NOT NULL,
        PRIMARY KEY (pool, owner)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE worker_states (
        worker TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('drained', 'removed')),
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    DROP INDEX jobs_queued;
    CREATE INDEX jobs_queued ON jobs (owner, created_at - priority * 86400.0, serial, engine, model, id)
        WHERE state = 'pending';
    """,
)

SCHEMA: Final = len(MIGRATIONS)
