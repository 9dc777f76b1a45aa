-- A small CRM: companies, the people who work there, and their orders. All of it is made up by rule.

create table companies (
    id             bigint generated always as identity primary key,
    name           text not null,
    domain         text,
    industry       text,
    employees      integer,
    annual_revenue numeric(14, 2),
    updated_at     timestamptz not null default now()
);

create table people (
    id         bigint generated always as identity primary key,
    company_id bigint references companies,
    first_name text,
    last_name  text,
    email      text,
    phone      text,
    title      text,
    status     text not null default 'active',
    is_test    boolean not null default false,
    created_at timestamptz not null default now()
);

create table orders (
    id         bigint generated always as identity primary key,
    company_id bigint references companies,
    title      text not null,
    stage      text not null default 'open',
    amount     numeric(12, 2),
    close_date date not null,
    notes      text
);

-- Deleted and moved orders then tell which company they belonged to, so that its roll-up is refreshed too.
alter table orders replica identity full;

create index on people (company_id);
create index on orders (company_id);

insert into companies (name, domain, industry, employees, annual_revenue)
select initcap(a || ' ' || b) || ' ' || n, a || b || n || '.example',
       (array['Technology', 'Retail', 'Banking', 'Energy', 'Education'])[1 + n % 5],
       10 + n * 7 % 4000, round((50000 + n * 8123.45)::numeric, 2)
  from generate_series(1, :companies) as n,
       lateral (select (array['north', 'blue', 'green', 'silver', 'bright', 'river'])[1 + n % 6] as a,
                       (array['field', 'stone', 'works', 'light', 'wood', 'bridge', 'port'])[1 + n % 7] as b) as words;

insert into people (company_id, first_name, last_name, email, phone, title, status, is_test)
select 1 + n % :companies,
       (array['Ada', 'Ben', 'Chloe', 'Dev', 'Emre', 'Fatou', 'Gus', 'Hana', 'Ines', 'Jun'])[1 + n % 10],
       (array['Okafor', 'Lind', 'Moreau', 'Singh', 'Novak', 'Tanaka', 'Silva', 'Weber', 'Rossi'])[1 + n % 9],
       'person' || n || '@' || 'mail' || n % 40 || '.example', '+1 555 ' || lpad((n % 10000)::text, 4, '0'),
       (array['Engineer', 'Buyer', 'Director', 'Analyst'])[1 + n % 4],
       (array['active', 'active', 'active', 'churned'])[1 + n % 4], n % 50 = 0
  from generate_series(1, :people) as n;

insert into orders (company_id, title, stage, amount, close_date, notes)
select 1 + n % :companies, 'Order ' || n, (array['open', 'won', 'lost'])[1 + n % 3],
       round((100 + n * 37.5)::numeric, 2), date '2026-01-01' + n % 300, null
  from generate_series(1, :orders) as n;
