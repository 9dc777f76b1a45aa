-- What is sent, and what it costs: API calls and delivered records, added up by workers every second.

create table syncbridge.call_count (
    destination text not null,
    mapping     text not null,           -- its name; empty: calls that are made for no one mapping
    kind        text not null,           -- of the calls: upsert, query, ...; delivered: records, no calls
    since       timestamptz not null,    -- begin of the five minutes that are counted here
    count       bigint not null,
    primary key (destination, mapping, kind, since)
) with (fillfactor = 70);
