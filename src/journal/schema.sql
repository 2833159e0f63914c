-- The journal of one run of pipe. This layout is public: read it with any SQLite tool, also while the run is live.
-- Events are the truth; the views of views.sql are derived from them, for people.
-- Nothing but pipe may write here.

create table meta (
    key   text primary key,     -- 'format': version of the layout and of the bodies; 'version': the pipe that began the run; 'views': a hash of views.sql
    value text not null
);

create table events (
    seq     integer primary key, -- 1, 2, 3, ... without gaps
    at      integer not null,    -- microseconds since the Unix epoch
    kind    text not null,       -- 'case_admitted', 'attempt_started', ...
    part    integer not null,    -- 1: what results are made of, 2: requests, 0: anything else; part of the index only
    case_no integer,             -- the case it is about, from 0; null when about the run
    body    text not null,       -- JSON
    sum     integer not null     -- first 64 bits of BLAKE3 over seq, at, kind, body
);
-- The rows of the results of one case, and its requests, without a scan.
create index events_by_case on events (part, case_no);

-- Prompts, answers, rows, the pipeline file, named by what they say. The digest is also the checksum.
-- A case's texts lie together; one that several cases say is the run's.
create table texts (
    id      integer primary key,
    case_no integer not null,     -- the case that says it; -1: the run, or several cases; -2: a second copy of what many need
    digest  blob not null,        -- first 128 bits of BLAKE3 of the body; events name it in lower-case hexadecimal
    body    text not null         -- one of 1,024 bytes and more is a blob: packed, see pack.rs; pipe_text of `pipe journal sql` reads it
);
create unique index texts_by_case on texts (case_no, digest);

-- What a replay of the events up to seq comes to. Derived: deleting a row loses nothing but time.
create table checkpoints (
    seq  integer primary key,
    body text not null,          -- JSON
    sum  integer not null        -- first 64 bits of BLAKE3 over seq, body
);
