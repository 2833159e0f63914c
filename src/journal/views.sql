-- What people read in a journal: derived from its events, made again when a newer pipe opens an older journal to write.
-- Long texts are packed: `pipe journal sql` shows them in these same views.

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
        select iif(typeof(texts.body) = 'text', texts.body, '(a long text, packed: pipe journal sql, or pipe show)') from texts
        where texts.case_no in (admitted.case_no, -1) and lower(hex(digest)) = json_extract(admitted.body, '$.row')
        order by texts.case_no desc limit 1
    )                                                                        as row
from events as admitted
left join events as settled
    on settled.part = 1 and settled.kind = 'case_settled'
    and settled.seq = (
        -- A case may go on after its end (`pipe retry`): the latest counts.
        select max(seq) from events
        where part = 1 and case_no = admitted.case_no and kind in ('case_settled', 'case_reopened')
    )
where admitted.part = 1 and admitted.kind = 'case_admitted';

-- One row per request. outcome is null while it is in flight (or was, when the process died).
create view calls as
select
    attempt.case_no                                                          as case_no,
    json_extract(admitted.body, '$.item')                                    as item,
    json_extract(admitted.body, '$.repeat')                                  as repeat,
    attempt.step                                                             as step,
    attempt.each                                                             as each,
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
        when 'object' then coalesce(
            'timed out (' || replace(json_extract(attempt.ended, '$.outcome.failed.kind.timed_out'), '_', ' ') || ')',
            'unsupported (' || json_extract(attempt.ended, '$.outcome.failed.kind.unsupported') || ')'
        )
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
            select json_extract(part.value, '$[0]') || ': ' || (
                select iif(typeof(texts.body) = 'text', texts.body, '(a long text, packed: pipe journal sql, or pipe show)') from texts
                where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(part.value, '$[1]')
                order by texts.case_no desc limit 1
            ) as line
            from json_each(attempt.ended, '$.request') as part
            order by part.key
        ) as message
    )                                                                        as prompt,
    (
        select iif(typeof(texts.body) = 'text', texts.body, '(a long text, packed: pipe journal sql, or pipe show)') from texts
        where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(attempt.ended, '$.outcome.answered.text')
        order by texts.case_no desc limit 1
    )                                                                        as answer,
    (
        select iif(typeof(texts.body) = 'text', texts.body, '(a long text, packed: pipe journal sql, or pipe show)') from texts
        where texts.case_no in (attempt.case_no, -1) and lower(hex(digest)) = json_extract(attempt.ended, '$.outcome.answered.thought')
        order by texts.case_no desc limit 1
    )                                                                        as thought
from (
    select
        case_no,
        json_extract(body, '$.id.step')                                      as step,
        json_extract(body, '$.id.each')                                      as each,
        json_extract(body, '$.id.call')                                      as call,
        json_extract(body, '$.id.attempt')                                   as attempt,
        max(case kind when 'attempt_started' then seq end)                   as seq,
        max(case kind when 'attempt_started' then at end)                    as started_at,
        max(case kind when 'attempt_started' then body end)                  as started,
        max(case kind when 'attempt_ended' then body end)                    as ended
    from events
    where part = 2
    group by case_no, 2, 3, 4, 5
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
    coalesce(
        json_extract(vote.value, '$.verdict.choice'),
        json_extract(vote.value, '$.verdict.score'),
        json_extract(vote.value, '$.verdict.ranking')
    )                                                                        as verdict,
    json_extract(vote.value, '$.verdict.unscored')                           as unscored,
    (
        select iif(typeof(texts.body) = 'text', texts.body, '(a long text, packed: pipe journal sql, or pipe show)') from texts
        where texts.case_no in (settled.case_no, -1) and lower(hex(digest)) = json_extract(vote.value, '$.reason')
        order by texts.case_no desc limit 1
    )                                                                        as reason,
    coalesce(
        json_extract(settled.body, '$.output.judge.verdict.choice'),
        json_extract(settled.body, '$.output.judge.verdict.score'),
        json_extract(settled.body, '$.output.judge.verdict.ranking')
    )                                                                        as judgement,
    json_extract(settled.body, '$.output.judge.verdict.unscored')            as judgement_unscored,
    json_extract(settled.body, '$.output.judge.flipped')                     as flipped,
    json_extract(settled.body, '$.output.judge.pairs')                       as pairs
from events as settled, json_each(settled.body, '$.output.judge.votes') as vote
left join events as admitted
    on admitted.case_no = settled.case_no
    and admitted.part = 1 and admitted.kind = 'case_admitted'
where settled.part = 1 and settled.kind in ('task_settled', 'task_adopted')
    -- Nor what was taken back since, to be asked again.
    and not exists (
        select 1 from events as reopened, json_each(reopened.body, '$.former') as former
        where reopened.part = 1 and reopened.case_no = settled.case_no
            and reopened.kind = 'case_reopened' and reopened.seq > settled.seq
            and json_extract(former.value, '$.step') = json_extract(settled.body, '$.step')
    );
