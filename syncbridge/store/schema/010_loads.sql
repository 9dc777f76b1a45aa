-- Loads: all records of the destination go through the merge, as runs in the other direction.

-- position: of the scan, in the destination's own words. `after` is the last key, where a load goes by keys.
alter table syncbridge.run add column direction text not null default 'out' check (direction in ('out', 'in'));
alter table syncbridge.run add column position text;
alter table syncbridge.run drop constraint run_phase_check;
alter table syncbridge.run add constraint run_phase_check
      check (phase in ('rows', 'links', 'scan', 'keys', 'missing', 'done'));

-- Until its first load is over, a mapping delivers nothing: what is there already is not known yet.
alter table syncbridge.mapping add column loading boolean not null default false;

-- Remote records that a resync from the destination has read so far; then the linked ones that it did not find.
create table syncbridge.scanned (
    run_id    bigint not null,
    remote_id text not null,
    missing   boolean not null default false
);
