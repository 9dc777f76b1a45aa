-- What persons decide about held changes.

-- Another number with every other thing that is held of an entity: who decides names the one that was looked at.
create sequence syncbridge.held_revision;

alter table syncbridge.held_change
    add column revision   bigint not null default nextval('syncbridge.held_revision'),
    add column committed  timestamptz,     -- when the row changed, as far as capture knew
    add column taken      json,            -- remote field (* where it is about the whole) -> local, remote or retry
    add column decided_at timestamptz;
