//! A run as lines of a screen: what stands where, cut and wrapped to fit. Texts from outside are made harmless.

use std::sync::Arc;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::base::{CaseNo, Digest, RunId, Timestamp, clock_utc};
use crate::cli::check::counted;
use crate::cli::glance::word;
use crate::cli::printer::inert;
use crate::cli::show::case_name;
use crate::event::{CaseAdmitted, CaseStatus};
use crate::report::{
    LaneNow, Mishap, Pace, RunStatus, Said, Watch, columns, cut, duration, grouped, percent, wrapped,
};

/// Lines of one answer.
const LINES_OF_ANSWER: usize = 5;
/// Failures that are listed one by one.
const FAILURES: usize = 3;
/// Lines that the talk has at least, before failures are left out.
const LEAST_TALK: usize = 6;

const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BAD: Style = Style::new().fg(Color::Red);

/// What a page shows.
pub(super) struct View<'a> {
    pub(super) run: &'a RunId,
    /// Which of how many runs, counted from 1; none where there is no choice.
    pub(super) place: Option<(usize, usize)>,
    pub(super) watch: &'a Watch,
    pub(super) status: RunStatus,
    /// The moment that is shown.
    pub(super) now: Timestamp,
    pub(super) texts: &'a dyn Fn(CaseNo, &Digest) -> Option<Arc<str>>,
    /// Cases instead of talk, from this one of the list on.
    pub(super) cases_from: Option<usize>,
    /// The last line: keys, a question, or what has just been asked.
    pub(super) footer: Option<String>,
    /// The journal has been read up to its end.
    pub(super) is_up_to_date: bool,
}

/// Lays a run out in at most `height` lines of at most `width` columns.
pub(super) fn page(view: &View<'_>, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = head(view, width);
    lines.push(Line::default());
    lines.extend(backends(view.watch, view.now, width));
    let footer = view.footer.as_ref().map(|footer| dim(&cut(footer, width)));
    let room = height.saturating_sub(lines.len() + usize::from(footer.is_some()) * 2);
    let failures = failures(view, width);
    let failures = if room >= failures.len() + LEAST_TALK { failures } else { Vec::new() };
    let room = room.saturating_sub(failures.len());
    lines.extend(failures);
    if room > 2 {
        lines.push(Line::default());
        lines.extend(match view.cases_from {
            Some(from) => cases(view, from, width, room - 1),
            None => talk(view, width, room - 1),
        });
    }
    if let Some(footer) = footer {
        lines.truncate(height.saturating_sub(1));
        // The last line of the screen is always the same one.
        lines.resize(height.saturating_sub(1), Line::default());
        lines.push(footer);
    }
    lines.truncate(height);
    lines
}

fn head(view: &View<'_>, width: usize) -> Vec<Line<'static>> {
    let Watch { tally, .. } = view.watch;
    let live = matches!(view.status, RunStatus::Running | RunStatus::Paused);
    let since_last = tally.last.filter(|_| live).map_or(0, |last| view.now.micros_since(last));
    let time = duration((tally.active_us() + since_last) / 1_000_000 * 1_000_000).replace(".0 s", " s");
    let place = view.place.map(|(place, of)| format!("run {place} of {of}")).unwrap_or_default();
    let stands = format!("{}  {time}", word(view.status));
    let name = cut(&inert(view.run.as_str()), width.saturating_sub(columns(&stands) + 2).max(10));
    let left = format!("{name}  {stands}");
    let gap = width.saturating_sub(columns(&left) + columns(&place));
    let mut first = vec![Span::styled(name, HEAD), Span::raw(format!("  {stands}"))];
    if gap >= 2 {
        first.push(Span::raw(" ".repeat(gap)));
        first.push(Span::styled(place, DIM));
    }
    let mut lines = vec![Line::from(first), done(view.watch, width)];
    let now = view.watch.pace(view.now);
    let (counts, speed) = (counts(view.watch), speed(&now));
    if speed.is_empty() || columns(&counts) + 3 + columns(&speed) <= width {
        lines.push(Line::raw(cut(format!("{counts}   {speed}").trim_end(), width)));
    } else {
        lines.push(Line::raw(cut(&counts, width)));
        lines.push(Line::raw(cut(&format!("pace    {speed}"), width)));
    }
    lines.push(Line::raw(cut(&tokens(view.watch, &now), width)));
    if !view.is_up_to_date {
        lines.push(dim(&cut(&format!("reading the journal: {} cases so far", grouped(tally.cases.admitted)), width)));
    }
    lines
}

fn done(watch: &Watch, width: usize) -> Line<'static> {
    let settled = watch.tally.cases.settled();
    let Some(total) = watch.total().filter(|&total| total > 0) else {
        return Line::raw(cut(&format!("{} done, how many there are is not known yet", grouped(settled)), width));
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of cases stay below 2^53")]
    let share = settled as f64 / total as f64;
    let beside = format!("  {} of {}  {}", grouped(settled), grouped(total), percent(share));
    let length = width.saturating_sub(columns(&beside)).min(60);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of some dozens of columns"
    )]
    let full = (share.clamp(0.0, 1.0) * length as f64) as usize;
    Line::raw(format!("{}{}{beside}", "█".repeat(full), "░".repeat(length - full)))
}

fn counts(watch: &Watch) -> String {
    let cases = watch.tally.cases;
    let open = cases.admitted.saturating_sub(cases.settled());
    let parts = [(cases.ok, "ok"), (cases.unscored, "unscored"), (cases.failed, "failed"), (open, "under way")];
    let parts = parts.iter().filter(|&&(count, word)| count > 0 || word == "ok");
    let parts: Vec<String> = parts.map(|(count, word)| format!("{} {word}", grouped(*count))).collect();
    format!("cases   {}", parts.join(" · "))
}

fn speed(pace: &Pace) -> String {
    let speed = pace.cases_per_minute.map(|speed| format!("{} a minute", number(speed)));
    let left = pace.seconds_left.map(|left| duration(left.saturating_mul(1_000_000)).replace(".0 s", " s"));
    let parts: Vec<String> = speed.into_iter().chain(left.map(|left| format!("about {left} left"))).collect();
    parts.join(" · ")
}

fn tokens(watch: &Watch, pace: &Pace) -> String {
    let part = |count: Option<crate::base::TokenCount>, speed: Option<f64>, word: &str| {
        let count = count.map(|count| count.0)?;
        let speed = speed.map(|speed| format!(" ({}/s)", number(speed))).unwrap_or_default();
        Some(format!("{} {word}{speed}", grouped(count)))
    };
    let usage = watch.tally.usage;
    let parts = [part(usage.input, pace.input_per_second, "in"), part(usage.output, pace.output_per_second, "out")];
    let cached = watch.tally.from_cache;
    let cached = (cached > 0).then(|| format!("{} from the cache", counted(cached, "answer")));
    let parts: Vec<String> = parts.into_iter().flatten().chain(cached).collect();
    if parts.is_empty() { "tokens  none yet".to_owned() } else { format!("tokens  {}", parts.join(" · ")) }
}

/// Writes a speed with a digit after the point only below 10.
fn number(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive, below 2^53")]
    if value < 9.95 { format!("{value:.1}") } else { grouped(value.round() as u64) }
}

/// Lists the backends. What waits inside the engine for its turn is in no event, so it is in no column.
fn backends(watch: &Watch, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let heads = ["backend", "busy", "next", "again", "answered", "failed", ""];
    let mut table = vec![heads.map(str::to_owned).to_vec()];
    for (name, lane) in &watch.lanes {
        let LaneNow { says, slots, started, again, answered, failed, broken, held_until } = lane;
        let busy = (*started).min(u64::from(*slots));
        let held = held_until.filter(|until| *until > now);
        let state = match held {
            Some(until) => {
                let left = duration(until.micros_since(now));
                format!("no call before {} (in {left})", clock_utc(until, now))
            }
            None if *broken => "one call at a time until it answers".to_owned(),
            None => String::new(),
        };
        // The name stands in the first column already.
        let says = says.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(says);
        let says = if state.is_empty() { inert(says).into_owned() } else { state };
        table.push(vec![
            inert(name.as_str()).into_owned(),
            format!("{busy} of {slots}"),
            grouped(started - busy),
            grouped(*again),
            grouped(*answered),
            grouped(*failed),
            says,
        ]);
    }
    let rows = grid(&table, width).into_iter().zip(std::iter::once(None).chain(watch.lanes.values().map(Some)));
    rows.map(|(line, lane)| match lane {
        None => dim(&line),
        Some(lane) if lane.broken || lane.held_until.is_some_and(|until| until > now) => Line::styled(line, BAD),
        Some(_) => Line::raw(line),
    })
    .collect()
}

fn failures(view: &View<'_>, width: usize) -> Vec<Line<'static>> {
    let kinds = view.watch.tally.failures.ranked();
    if kinds.is_empty() {
        return Vec::new();
    }
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{} {}", kind.word(), grouped(*count))).collect();
    let title = format!("without an answer   {}", kinds.join(", "));
    let mut lines = vec![Line::default(), Line::styled(cut(&title, width), HEAD)];
    let skipped = view.watch.mishaps.len().saturating_sub(FAILURES);
    lines.extend(view.watch.mishaps.iter().skip(skipped).map(|mishap| {
        let Mishap { at, id, failure, again } = mishap;
        let ago = ago(*at, view.now);
        let again = if *again { "" } else { ", given up" };
        let detail = inert(&failure.detail).replace('\n', " ");
        Line::styled(cut(&format!("  {ago}  {id}{again}: {}: {detail}", failure.kind.word()), width), BAD)
    }));
    lines
}

/// Shows the latest answers, the newest last, in at most `room` lines.
fn talk(view: &View<'_>, width: usize, room: usize) -> Vec<Line<'static>> {
    let mut blocks: Vec<Vec<Line<'static>>> = Vec::new();
    let mut left = room.saturating_sub(1);
    for said in view.watch.said.iter().rev() {
        let block = answer(said, view, width);
        if block.len() > left {
            // The start of the latest one is better than nothing.
            if blocks.is_empty() && left > 1 {
                blocks.push(block.into_iter().take(left).collect());
            }
            break;
        }
        left -= block.len();
        blocks.push(block);
    }
    let mut lines = vec![Line::styled("said of late", HEAD)];
    if blocks.is_empty() {
        lines.push(dim("  nothing yet"));
    }
    lines.extend(blocks.into_iter().rev().flatten());
    lines
}

fn answer(said: &Said, view: &View<'_>, width: usize) -> Vec<Line<'static>> {
    let Said { at, id, actor, text } = said;
    let title = format!("  {actor}  case {} {} {}, {}", id.case, id.step, id.call, ago(*at, view.now));
    let mut lines = vec![dim(&cut(&inert(&title), width))];
    let text =
        (view.texts)(id.case, text).map_or_else(|| "…".to_owned(), |text| inert(text.trim()).replace('\t', " "));
    // No more of a long answer is wrapped than is shown.
    let start: String = text.chars().take(width * (LINES_OF_ANSWER + 1)).collect();
    let wrapped = wrapped(&start, width, 4);
    let all: Vec<&str> = wrapped.lines().filter(|line| !line.trim().is_empty()).collect();
    let is_cut = all.len() > LINES_OF_ANSWER || start.len() < text.len();
    let shown = all.len().min(LINES_OF_ANSWER);
    lines.extend(all[..shown].iter().map(|line| Line::raw((*line).to_owned())));
    if is_cut && let Some(last) = lines.last_mut() {
        let line = format!("{last} …");
        *last = Line::raw(if columns(&line) > width { cut(&format!("{last}…"), width) } else { line });
    }
    lines
}

/// Lists cases under way, then those settled of late, the newest first.
fn cases(view: &View<'_>, from: usize, width: usize, room: usize) -> Vec<Line<'static>> {
    let mut table = vec![["case", "item", "stands"].map(str::to_owned).to_vec()];
    let name = |admitted: &CaseAdmitted| inert(&case_name(admitted)).into_owned();
    for (case, open) in &view.watch.open {
        let stands = match &open.latest {
            Some((step, call)) => format!("{step} {call}"),
            None => "waits for its turn".to_owned(),
        };
        table.push(vec![case.to_string(), name(&open.admitted), inert(&stands).into_owned()]);
    }
    for settled in view.watch.settled.iter().rev() {
        let item = settled.admitted.as_ref().map(name).unwrap_or_default();
        let status = match settled.status {
            CaseStatus::Ok => "ok",
            CaseStatus::Unscored => "unscored",
            CaseStatus::Failed => "failed",
        };
        table.push(vec![settled.case.to_string(), item, status.to_owned()]);
    }
    let mut rows = grid(&table, width).into_iter();
    let mut lines: Vec<Line<'static>> = rows.next().map(|heads| dim(&heads)).into_iter().collect();
    lines.extend(rows.skip(from).take(room.saturating_sub(1)).map(Line::raw));
    lines
}

/// Returns how many rows the list of cases has.
pub(super) fn count_of_cases(watch: &Watch) -> usize {
    watch.open.len() + watch.settled.len()
}

/// Puts cells under each other, each row in one line: a screen has no room for rows that grow.
fn grid(rows: &[Vec<String>], width: usize) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |place: usize| rows.iter().filter_map(|row| row.get(place)).map(|cell| columns(cell)).max();
    let widths: Vec<usize> = (0..count).map(|place| widest(place).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width + 2 - columns(cell))));
        cut(padded.collect::<String>().trim_end(), width)
    };
    rows.iter().map(line).collect()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let micros = now.micros_since(at) / 1_000_000 * 1_000_000;
    format!("{} ago", duration(micros).replace(".0 s", " s").replace("0 ms", "0 s"))
}

fn dim(text: &str) -> Line<'static> {
    Line::styled(text.to_owned(), DIM)
}
