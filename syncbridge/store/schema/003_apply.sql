-- Putting files in force goes on where it was interrupted, at whatever moment.

-- asked: recorded together with the mapping, but capture was not told yet what to watch. `apply` makes it pending.
alter table syncbridge.run drop constraint run_status_check;
alter table syncbridge.run add constraint run_status_check
      check (status in ('asked', 'pending', 'done', 'failed', 'cancelled'));

-- Slots that are about to be made: one that is there without its checkpoint is our own, and may be made anew.
create table syncbridge.slot_intent (
    slot text primary key,
    at   timestamptz not null default now()
);
