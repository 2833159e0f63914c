-- The journal of one run of pipe. This layout is public: read it with any SQLite tool, also while the run is live.
-- Events are the truth; everything below "Views" is derived from them, for people.
-- Nothing but pipe may write here.

create table meta (
    key   text primary key,     -- 'format': version of the layout and of the bodies; 'version': the pipe that began the run
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
    case_no integer not null,     -- the case that says it; -1: the run, or several cases
    digest  blob not null,        -- first 128 bits of BLAKE3 of the body; events name it in lower-case hexadecimal
    body    text not null
);
create unique index texts_by_case on texts (case_no, digest);

-- What a replay of the events up to seq comes to. Derived: deleting a row loses nothing but time.
create table checkpoints (
    seq  integer primary key,
    body text not null,          -- JSON
    sum  integer not null        -- first 64 bits of BLAKE3 over seq, body
);

-- Views

-- One row per case. status is null while the case is open.
create view cases as
select
    admitted.case_no                                                         as case_no,
    json_extract(admitted.body, '$.item')                                    as item,
    json_extract(admitted.body, '$.repeat')                                  as repeat,
    json_extract(settled.body, '$.status')                                   as status,
    strftime('%Y-%m-%dT%H:%M:%fZ', admitted.at / 1e6, 'unixepoch')           as admitted_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', settled.at / 1e6, 'unixepoch')            as settled_at,
    (
        select body from texts
        where texts.case_no in (admitted.case_no, -1) and lower(hex(digest)) = json_extract(admitted.body, '$.row')
        order by texts.case_no desc limit 1
    )                                                                        as row
from events as admitted
left join events as settled
    on settled.case_no = admitted.case_no
    and settled.part = 1 and settled.kind = 'case_settled'
where admitted.part = 1 and admitted.kind = 'case_admitted';

-- One row per request. outcome is null while it is in flight (or was, when the process died).
create view calls as
select
    attempt.case_no                                                          as case_no,
    json_extract(admitted.body, '$.item')                                    as item,
    json_extract(admitted.body, '$.repeat')                                  as repeat,
    attempt.step                                                             as step,
    attempt.call                                                             as call,
    attempt.attempt                                                          as attempt,
    json_extract(attempt.started, '$.actor')                                 as actor,
    json_extract(attempt.started, '$.backend')                               as backend,
    json_extract(attempt.ended, '$.outcome.answered.model')                  as model,
    case
        when attempt.ended is null then null
        when json_type(attempt.ended, '$.outcome.answered') is not null then 'answered'
        else 'failed'
    end                                                                      as outcome,
    case json_type(attempt.ended, '$.outcome.failed.kind')
        when 'object' then
            'timed out (' || replace(json_extract(attempt.ended, '$.outcome.failed.kind.timed_out'), '_', ' ') || ')'
        else replace(json_extract(attempt.ended, '$.outcome.failed.kind'), '_', ' ')
    end                                                                      as failure,
    json_extract(attempt.ended, '$.outcome.failed.detail')                   as detail,
    json_extract(attempt.ended, '$.outcome.answered.finish')                 as finish,
    json_extract(attempt.ended, '$.usage.input')                             as input_tokens,
    json_extract(attempt.ended, '$.usage.output')                            as output_tokens,
    json_extract(attempt.ended, '$.timings.total_us') / 1000.0               as ms,
    strftime('%Y-%m-%dT%H:%M:%fZ', attempt.started_at / 1e6, 'unixepoch')    as started_at,
    (
        select group_concat(message.line, char(10) || char(10))
        from (
            select json_extract(part.value, '$.role') || ': ' || (
                select body from texts
                where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(part.value, '$.text')
                order by texts.case_no desc limit 1
            ) as line
            from json_each((
                select body from texts
                where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(attempt.ended, '$.request')
                order by texts.case_no desc limit 1
            )) as part
            order by part.key
        ) as message
    )                                                                        as prompt,
    (
        select body from texts
        where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(attempt.ended, '$.outcome.answered.text')
        order by texts.case_no desc limit 1
    )                                                                        as answer
from (
    select
        case_no,
        json_extract(body, '$.id.step')                                      as step,
        json_extract(body, '$.id.call')                                      as call,
        json_extract(body, '$.id.attempt')                                   as attempt,
        max(case kind when 'attempt_started' then seq end)                   as seq,
        max(case kind when 'attempt_started' then at end)                    as started_at,
        max(case kind when 'attempt_started' then body end)                  as started,
        max(case kind when 'attempt_ended' then body end)                    as ended
    from events
    where part = 2
    group by case_no, 2, 3, 4
) as attempt
left join events as admitted
    on admitted.case_no = attempt.case_no
    and admitted.part = 1 and admitted.kind = 'case_admitted';

-- One row per vote of a judge, beside the judgement that all votes of the task come to.
create view verdicts as
select
    settled.case_no                                                          as case_no,
    json_extract(admitted.body, '$.item')                                    as item,
    json_extract(admitted.body, '$.repeat')                                  as repeat,
    json_extract(settled.body, '$.step')                                     as step,
    vote.key + 1                                                             as vote,
    json_extract(vote.value, '$.verdict.choice')                             as verdict,
    json_extract(vote.value, '$.verdict.unscored')                           as unscored,
    (
        select body from texts
        where texts.case_no in (settled.case_no, -1) and lower(hex(digest)) = json_extract(vote.value, '$.reason')
        order by texts.case_no desc limit 1
    )                                                                        as reason,
    json_extract(settled.body, '$.output.judge.verdict.choice')              as judgement,
    json_extract(settled.body, '$.output.judge.verdict.unscored')            as judgement_unscored,
    json_extract(settled.body, '$.output.judge.flipped')                     as flipped,
    json_extract(settled.body, '$.output.judge.pairs')                       as pairs
from events as settled, json_each(settled.body, '$.output.judge.votes') as vote
left join events as admitted
    on admitted.case_no = settled.case_no
    and admitted.part = 1 and admitted.kind = 'case_admitted'
where settled.part = 1 and settled.kind in ('task_settled', 'task_adopted');
