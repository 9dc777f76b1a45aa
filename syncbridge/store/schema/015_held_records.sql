-- What persons decide about new records that are no row.

alter table syncbridge.held_record
    add column candidates  text[] not null default '{}',  -- keys of the rows that it could be
    add column decision    text check (decision in ('link', 'create', 'ignore')),
    add column decided_key text,          -- of the row that it is: decision link
    add column decided_at  timestamptz;   -- somebody decided, or asked for another try; null again once that was done

