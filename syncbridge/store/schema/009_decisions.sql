-- What persons decide about held changes.

-- Another number with every other thing that is held of an entity: who decides names the one that was looked at.
create sequence syncbridge.held_revision;

alter table syncbridge.held_change
    add column revision   bigint not null default nextval('syncbridge.held_revision'),
    add column committed  timestamptz,     -- when the row changed, as far as capture knew
    add column taken      json,            -- remote field (* where it is about the whole) -> local, remote or retry
    add column decided_at timestamptz;

-- The way back of a mapping goes on or stands still for itself.
alter table syncbridge.mapping
    add column in_status text not null default 'active' check (in_status in ('active', 'paused', 'halted', 'guard')),
    add column in_reason text not null default '',
    add column in_hint   text not null default '',
    add column in_since  timestamptz not null default now();

-- When the last poll that came to its end was begun: it has read what had changed by then.
alter table syncbridge.watermark add column asked_at timestamptz;
