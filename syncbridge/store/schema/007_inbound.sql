-- The way back: changes of the destination that become rows.

-- How far the changes of a mapping's object were read. A position is the destination's own; each is written only over
-- the one that it follows, so progress never moves backward.
create table syncbridge.watermark (
    mapping_id integer primary key,
    position   text not null,
    polled_at  timestamptz               -- when the changes were last read to their end
);

-- Remote records to look at again, by their id: what a poll showed of them could not be decided then.
create table syncbridge.recheck (
    mapping_id integer not null,
    remote_id  text not null,
    since      timestamptz not null default now(),
    primary key (mapping_id, remote_id)
);

-- Remote changes that are not in their row: a person decides, or Postgres refuses them.
create table syncbridge.held_change (
    mapping_id integer not null,
    key        text collate "C" not null,
    remote_id  text not null,
    kind       text not null check (kind in ('conflict', 'delete', 'refused')),
    fields     json not null default '{}',  -- remote field -> base, local and remote value
    code       text,
    message    text,
    modified   timestamptz not null,     -- when the remote record changed
    since      timestamptz not null default now(),
    primary key (mapping_id, key)
);

-- What was decided by rule, and by which values: remote field -> verdict, rule, base, local, remote. Values of fields
-- that the mapping calls sensitive are left out.
alter table syncbridge.sync_log add column decision json;
