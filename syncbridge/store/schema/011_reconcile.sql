-- Reconciliations that ended, newest last, and what is asked of a destination only now and then.

create table syncbridge.reconciliation (
    id          bigint generated always as identity primary key,
    mapping_id  integer not null,
    scheduled   boolean not null,            -- by the mapping's `reconcile`; else a person's command
    started_at  timestamptz not null,
    finished_at timestamptz not null default now(),
    drift       bigint,                      -- null: it failed
    report      json not null default '{}',  -- counts; no value of a record
    error       text
);
create index on syncbridge.reconciliation (mapping_id, id);

-- How many records of a mapping's object carry a key, as the destination said last.
create table syncbridge.remote_count (
    mapping_id integer primary key,
    records    bigint not null,
    at         timestamptz not null default now()
);
