-- What was lost: positions whose changes were never captured.

-- Where source and state were, so that a restored copy of either is known for one: a dump keeps no object's number.
alter table syncbridge.checkpoint
    add column database_oid bigint,      -- of the source's database
    add column state_oid    bigint;      -- of this table

-- A slot was lost and made anew: what was committed between these positions was not captured, but looked for by a run
-- over every mapping.
create table syncbridge.gap (
    id        bigint generated always as identity primary key,
    slot      text not null,
    from_lsn  pg_lsn not null,           -- the checkpoint
    from_time timestamptz,               -- when the last captured change was committed
    to_lsn    pg_lsn not null,           -- where the new slot begins
    to_time   timestamptz not null default now(),
    why       text not null
);

-- Which system a destination is, as its logins told: the one that links name.
create table syncbridge.destination_identity (
    destination text primary key,
    identity    text not null,
    since       timestamptz not null default now()
);
