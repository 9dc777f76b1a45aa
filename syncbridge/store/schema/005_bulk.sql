-- Bulk jobs: one job of the destination carries many rows of the outbox.

create table syncbridge.bulk_job (
    id         bigint primary key,           -- the claim number of its rows
    mapping_id integer not null,
    object     text not null,
    operation  text not null check (operation in ('upsert', 'delete')),
    key_field  text not null default '',
    remote_id  text,                         -- of the destination's job; null until that was begun
    state      text not null default 'preparing' check (state in ('preparing', 'open', 'sent')),
    records    integer not null default 0,   -- that it was given
    processed  integer not null default 0,   -- of these, as the destination said last
    failed     integer not null default 0,
    counted    jsonb not null default '{}',  -- what it counts towards the guard
    since      timestamptz not null default now()
);
create index on syncbridge.bulk_job (mapping_id);

-- Rows that lanes leave to bulk jobs: those of this priority that came due before this moment.
create table syncbridge.bulk_reserve (
    mapping_id integer not null,
    priority   smallint not null,
    before     timestamptz not null,
    until      timestamptz not null,         -- the reserve ends by itself, should nobody renew it
    primary key (mapping_id, priority)
);

-- The bulk job that carries it: it comes free with its job and by nothing else, so it has no lease. Lanes never write
-- this column, so their claims stay HOT updates.
alter table syncbridge.outbox add column job bigint;
create index outbox_job on syncbridge.outbox (job, key) where job is not null;
drop index syncbridge.outbox_next;
create index outbox_next on syncbridge.outbox (mapping_id, priority, available_at)
    where status = 'pending' and job is null;
