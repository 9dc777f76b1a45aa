-- Lookups of remote records whose parent has no row yet: they are written when it is linked.
create table syncbridge.parent_wait (
    mapping_id       integer not null,
    remote_id        text not null,           -- of the child
    field            text not null,
    parent_id        integer not null,        -- the mapping that is looked up
    parent_remote_id text not null,
    since            timestamptz not null default now(),
    late             boolean not null default false,  -- it came so late that the child is held
    primary key (mapping_id, remote_id, field)
);
