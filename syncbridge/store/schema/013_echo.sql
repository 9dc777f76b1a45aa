-- No echo, no flip-flop.

-- When the entity's own row changed last, by its commits; null where only something else asked for a look at it, as a
-- run, a related row or a person does. It is what `conflict: newest` goes by.
alter table syncbridge.outbox add column changed_at timestamptz;

-- Whose record it is, and what was seen of it: once that is the base, it was our own write, and needs no other look.
alter table syncbridge.recheck add column key text collate "C", add column seen json;

-- How often fields of a record came in and went out in turn lately: remote field -> what is counted of it.
create table syncbridge.bounce (
    mapping_id integer not null,
    key        text collate "C" not null,
    fields     json not null,
    at         timestamptz not null default now(),
    primary key (mapping_id, key)
);

alter table syncbridge.held_change drop constraint held_change_kind_check,
    add constraint held_change_kind_check check (kind in ('conflict', 'bounce', 'delete', 'refused'));

-- What was sent of a two-way record, a list of remote field -> value: until its answer is settled, nobody knows which
-- of it the destination holds.
alter table syncbridge.outbox add column sent jsonb;
