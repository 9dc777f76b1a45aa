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

-- How far the fields that a destination calculates were read of all records.
create table syncbridge.formula_round (
    mapping_id integer primary key,
    began_at   timestamptz not null default now(),
    after      text collate "C",              -- the key of the last entity that was read; null: none yet
    done       boolean not null default false
);
