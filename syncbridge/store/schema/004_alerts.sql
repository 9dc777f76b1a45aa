-- What a person is alerted of, and the messages that are still to be taken.

-- What was found wrong, also while it is not told yet (raised_at is null), and while it is well again but not for long
-- enough (clear_since). A row that is gone was told to be over, or was never told.
create table syncbridge.alert (
    kind        text not null,
    about       text not null,        -- a mapping, a destination, a slot; never a key of a record
    title       text not null,
    words       text not null,
    hint        text not null default '',
    since       timestamptz not null,
    raised_at   timestamptz,
    clear_since timestamptz,
    primary key (kind, about)
);

-- One row per message and target, until that target has taken it.
create table syncbridge.alert_message (
    id           bigint generated always as identity primary key,
    target       text not null,       -- a name without secrets
    title        text not null,
    body         text not null,
    made_at      timestamptz not null default now(),
    attempts     integer not null default 0,
    available_at timestamptz not null default now(),
    lease_until  timestamptz,
    error        text
);
create index on syncbridge.alert_message (target, id);

-- When it was looked last, by whatever worker: its lock lets one look at a time.
create table syncbridge.alert_look (
    one boolean primary key default true check (one),
    at  timestamptz
);
insert into syncbridge.alert_look default values;
