-- Entities over several tables, lookups, and first contact with records that are there already.

-- Join keys: rows of related tables that were touched. Which entities that concerns is looked up a page at a time,
-- like a run. A join key of very many entities is looked up in passes: `pass` is the version that the present one covers.
create sequence syncbridge.fan_out_version cache 100;  -- never the same twice, also of a key that was gone meanwhile
create table syncbridge.fan_out (
    mapping_id  integer not null,
    relation    text collate "C" not null,   -- of the mapping's `related`, or the field of a lookup
    key         text collate "C" not null,   -- what its rows are joined by
    version     bigint not null default nextval('syncbridge.fan_out_version'),  -- another one with each change
    lsn         pg_lsn not null,             -- commit LSN of the newest change
    commit_time timestamptz not null,
    since_lsn   pg_lsn not null,             -- of the oldest change that is not passed on yet
    since       timestamptz not null,
    pass        bigint,                      -- null: not looked up in passes
    after       text collate "C",            -- the last entity key of the pass so far
    later_lsn   pg_lsn,                      -- of the first change since the pass began
    later       timestamptz,
    primary key (mapping_id, relation, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);

create index fan_out_passes on syncbridge.fan_out (mapping_id, relation, key) where pass is not null;

-- Entities whose record waits, in whole or for one field, for the record of another mapping's entity.
create table syncbridge.awaited (
    parent_id   integer not null,            -- the mapping that is looked up
    parent_key  text collate "C" not null,
    mapping_id  integer not null,            -- who waits
    key         text collate "C" not null,
    held        boolean not null,            -- it waits in whole; false: it was sent without the field
    alone       boolean not null default false,  -- held in a circle: send it without the field
    ready       boolean not null default false,  -- the parent's record is there: look at it again
    lsn         pg_lsn not null,             -- of the change that waits, or was sent without the field
    commit_time timestamptz not null,
    primary key (parent_id, parent_key, mapping_id, key)
);
create index on syncbridge.awaited (mapping_id, key);
create index awaited_ready on syncbridge.awaited (mapping_id, key) where ready;

-- What a person has to decide: which of several records an entity is.
create table syncbridge.conflict (
    mapping_id integer not null,
    key        text collate "C" not null,
    kind       text not null,
    candidates text[] not null,              -- remote ids
    detail     text not null default '',
    since      timestamptz not null default now(),
    decision   text,                         -- a remote id, or empty for a new record; null: not decided
    decided_at timestamptz,
    primary key (mapping_id, key)
);

-- waiting: for a parent's record; held: a person decides. Neither is claimed until something makes it pending again.
alter table syncbridge.outbox drop constraint outbox_status_check;
alter table syncbridge.outbox add constraint outbox_status_check
      check (status in ('pending', 'dead', 'waiting', 'held'));

create index conflict_candidate on syncbridge.conflict using gin (candidates);

create index link_remote on syncbridge.link (remote_id, mapping_id);
