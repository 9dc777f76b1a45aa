-- The state of syncbridge. Names are those of the glossary in docs/concepts.md.

-- One row per replication slot: the end LSN of the last commit that is durable in the outbox.
create table syncbridge.checkpoint (
    slot        text primary key,
    end_lsn     pg_lsn not null,
    commit_time timestamptz,
    system_id   text not null,
    timeline    integer not null,
    updated_at  timestamptz not null default now()
);

create table syncbridge.mapping (
    id              integer generated always as identity primary key,
    name            text not null unique,
    destination     text not null,
    object          text not null,
    definition      json not null,   -- json: keeps the order of the fields
    digest          text not null,
    status          text not null default 'active'
                    check (status in ('active', 'paused', 'halted', 'guard', 'waiting')),
    reason          text not null default '',
    hint            text not null default '',
    until           timestamptz,
    status_since    timestamptz not null default now(),
    last_error      text,
    last_error_key  text,
    last_error_at   timestamptz,
    approved_lsn    pg_lsn,  -- a person let pass what the guard stopped: changes up to here are not counted
    applied_at      timestamptz not null default now()
);

-- How many deletes and changes went out, by minute: what the mass-change guard adds up.
create table syncbridge.guard_count (
    mapping_id integer not null,
    kind       text not null,
    minute     timestamptz not null,
    count      bigint not null,
    primary key (mapping_id, kind, minute)
);

-- Dirty keys, one row per entity that waits for delivery. Keys compare bytewise: that is faster, and the order in
-- which every transaction locks rows.
create table syncbridge.outbox (
    mapping_id   integer not null,
    key          text collate "C" not null,
    version      bigint not null default 1,      -- a new change bumps it; settling an older one keeps the row
    lsn          pg_lsn not null,                -- commit LSN of the newest change
    commit_time  timestamptz not null,
    since_lsn    pg_lsn not null,                -- of the oldest change that is not delivered yet
    since        timestamptz not null,
    after_lsn    pg_lsn,                         -- of the first change after the claim
    after        timestamptz,
    reason       text not null,
    priority     smallint not null,
    attempts     integer not null default 0,
    available_at timestamptz not null default now(),  -- next try
    lease_until  timestamptz,                         -- while claimed; in no index, so that a claim is a HOT update
    claim        bigint,                         -- who holds the lease
    resend       boolean not null default false, -- the base cannot be trusted: send every field
    after_resend boolean not null default false, -- ... asked for after the claim
    status       text not null default 'pending' check (status in ('pending', 'dead')),
    error_code   text,
    error        text,
    error_at     timestamptz,
    primary key (mapping_id, key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);

create index outbox_next on syncbridge.outbox (mapping_id, priority, available_at) where status = 'pending';
create index outbox_dead on syncbridge.outbox (mapping_id, error_at) where status = 'dead';

create sequence syncbridge.claim cache 10;

-- Entity and remote record, and the field values both sides last agreed on, in the destination's normal form.
create table syncbridge.link (
    mapping_id   integer not null,
    key          text collate "C" not null,
    remote_id    text not null,
    base         json not null,
    delivered_at timestamptz not null default now(),
    primary key (mapping_id, key)
) with (fillfactor = 85);

create sequence syncbridge.sync_log_id;  -- nothing cached, so that ids follow the order of writing

-- The account of every record, by day; days older than the retention are dropped whole.
create table syncbridge.sync_log (
    at         timestamptz not null default clock_timestamp(),
    id         bigint not null default nextval('syncbridge.sync_log_id'),
    mapping_id integer not null,
    key        text collate "C" not null,
    direction  text not null default 'out' check (direction in ('out', 'in')),
    operation  text not null,
    outcome    text not null,
    reason     text not null default '',
    lsn        pg_lsn,
    remote_id  text,
    fields     text,      -- names of the fields that were sent; never their values
    attempt    integer not null default 1,
    code       text,
    message    text
) partition by range (at);

create index on syncbridge.sync_log (mapping_id, key, at);
create index on syncbridge.sync_log (at);
create table syncbridge.sync_log_other partition of syncbridge.sync_log default;

-- First syncs and resyncs: batches as a bounded stream of keys, resumable at `after`.
create table syncbridge.run (
    id           bigint generated always as identity primary key,
    mapping_id   integer not null,
    reason       text not null,
    filter       text not null default '',
    resend       boolean not null default false,
    barrier      xid8,    -- starts when every transaction before this one has ended: none can slip in unseen
    phase        text not null default 'rows' check (phase in ('rows', 'links', 'done')),
    after        text,
    total        bigint,
    enqueued     bigint not null default 0,
    status       text not null default 'pending' check (status in ('pending', 'done', 'failed', 'cancelled')),
    error        text,
    requested_at timestamptz not null default now(),
    started_at   timestamptz,
    finished_at  timestamptz
);
create index on syncbridge.run (status, id);

-- What running workers say of themselves, for `status`.
create table syncbridge.worker (
    id         integer generated always as identity primary key,  -- upper half of its claim numbers
    host       text not null,
    pid        integer not null,
    roles      text[] not null,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    facts      jsonb not null default '{}'
);
