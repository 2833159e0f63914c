//! A waterfall on a terminal: names on the left, bars on an axis of time on the right.

use std::fmt::Write as _;

use super::printer::{BOLD, DIM, RED, inert, paint};
use crate::base::Timestamp;
use crate::report::{columns, cut, duration, energy, grouped, height};
use crate::telemetry::{Bar, BarSort};

/// What stands between two columns.
const GAP: usize = 2;
/// Columns that bars need to tell anything.
const NARROWEST: usize = 16;
/// Columns between two marks of the axis, at least.
const APART: usize = 14;

/// What fills a bar.
const ASKED: char = '█';
const BEFORE: char = '░';
const FAILED: char = '×';
const WAIT: char = '·';

/// What a device did, below the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lane {
    pub(super) label: String,
    /// From when, until when, in how much of it the device computed, in percent.
    pub(super) entries: Vec<(Timestamp, Timestamp, u32)>,
}

impl Lane {
    /// What lies further apart than this was not seen, in microseconds.
    const APART_US: u64 = 3_000_000;

    pub(super) fn of(index: u32) -> Self {
        Self { label: format!("GPU {index}"), entries: Vec::new() }
    }

    /// Adds an entry of the device's ring, which tells of the time since the one before.
    pub(super) fn add(&mut self, to: Timestamp, percent: u32) {
        let before = self.entries.last().map_or(to, |entry| entry.1);
        let from = if to.micros_since(before) > Self::APART_US { to } else { before };
        self.entries.push((from, to, percent));
    }
}

/// Draws rows in lines of at most `width` columns, and devices on the same axis.
pub(super) fn draw(bars: &[Bar], lanes: &[Lane], width: usize) -> String {
    let (Some(from), Some(to)) = (bars.iter().map(|bar| bar.start).min(), bars.iter().map(|bar| bar.end).max())
    else {
        return String::new();
    };
    let names: Vec<String> = bars.iter().map(|bar| format!("{}{}", branch(&bar.last), inert(&bar.label))).collect();
    let times: Vec<String> = bars.iter().map(|bar| duration(bar.end.micros_since(bar.start))).collect();
    let tokens: Vec<String> = bars.iter().map(tokens).collect();
    let energies = energies(bars);
    let widest = |cells: &[String]| cells.iter().map(|cell| columns(cell)).max().unwrap_or(0);
    let (time, spent) = (widest(&times), [widest(&tokens), widest(&energies)]);
    let beside = time + GAP + spent.iter().filter(|&&wide| wide > 0).map(|wide| wide + GAP).sum::<usize>();
    let name = widest(&names).min(width.saturating_sub(beside + NARROWEST + GAP)).max(8);
    let room = width.saturating_sub(name + GAP + beside).max(NARROWEST);
    let axis = Axis { from, micros: to.micros_since(from).max(1), room };

    let before = " ".repeat(name + GAP + beside);
    let mut text = format!("{before}{}\n", paint(DIM, &axis.marks()));
    for (place, bar) in bars.iter().enumerate() {
        let label = cut(&names[place], name);
        let pad = " ".repeat(name - columns(&label));
        let label = if bar.last.len() == 1 { paint(BOLD, &label) } else { label };
        write!(text, "{label}{pad}  {:>time$}  ", times[place]).expect("a text takes all");
        for (cell, wide) in [&tokens[place], &energies[place]].into_iter().zip(spent).filter(|(_, wide)| *wide > 0) {
            write!(text, "{}{}  ", " ".repeat(wide - columns(cell)), paint(DIM, cell)).expect("a text takes all");
        }
        text.push_str(&axis.bar(bar));
        text.push('\n');
        for line in asides(bar) {
            let under = under(&bar.last, bars.get(place + 1));
            let (style, line) = line;
            let line = cut(&format!("{under}{}", inert(&line)), width);
            let at = under.len();
            text.push_str(&line[..at.min(line.len())]);
            text.push_str(&paint(style, line.get(at..).unwrap_or_default()));
            text.push('\n');
        }
    }
    for lane in lanes {
        let label = cut(&lane.label, name);
        let pad = " ".repeat(name + GAP + beside - columns(&label));
        text.push_str(format!("{label}{pad}{}", axis.lane(lane)).trim_end());
        text.push('\n');
    }
    text.push_str(&legend(bars, lanes, width));
    text
}

/// What is said below a row: why it failed, what was not done in it.
fn asides(bar: &Bar) -> Vec<(anstyle::Style, String)> {
    let error = bar.error.as_ref().map(|(word, what)| match what.is_empty() {
        true => word.clone(),
        false if word == "_OTHER" || what.contains(word.as_str()) => what.clone(),
        false => format!("{word}: {what}"),
    });
    let notes = bar.notes.iter().map(|note| (DIM, note.clone()));
    error.into_iter().map(|error| (RED, error)).chain(notes).collect()
}

fn tokens(bar: &Bar) -> String {
    match (bar.input, bar.output) {
        (None, None) => String::new(),
        (input, output) => {
            let one = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), grouped);
            format!("{} → {}", one(input), one(output))
        }
    }
}

/// Returns the joules of each row; nothing of all where no row has any.
fn energies(bars: &[Bar]) -> Vec<String> {
    let of_one = |bar: &Bar| match (bar.joules, bar.sort) {
        (Some(joules), _) => energy(joules),
        (None, BarSort::Wait) => String::new(),
        (None, BarSort::Whole | BarSort::Request) => "?".to_owned(),
    };
    if bars.iter().all(|bar| bar.joules.is_none()) {
        vec![String::new(); bars.len()]
    } else {
        bars.iter().map(of_one).collect()
    }
}

/// The lines of a tree before a name.
fn branch(last: &[bool]) -> String {
    let Some((own, above)) = last.split_last() else { return String::new() };
    let Some((_, above)) = above.split_first() else { return String::new() };
    let lines: String = above.iter().map(|&last| if last { "  " } else { "│ " }).collect();
    format!("{lines}{}", if *own { "└ " } else { "├ " })
}

/// The lines of a tree below a row, before what is said of it.
fn under(last: &[bool], next: Option<&Bar>) -> String {
    let levels = last.iter().skip(1).map(|&last| if last { "  " } else { "│ " });
    let has_parts = next.is_some_and(|next| next.last.len() > last.len());
    levels.chain([if has_parts { "│ " } else { "  " }]).collect()
}

fn legend(bars: &[Bar], devices: &[Lane], width: usize) -> String {
    let requests = bars.iter().filter(|bar| bar.sort == BarSort::Request);
    let streamed = requests.clone().any(|bar| bar.first_piece.is_some());
    let failed = requests.clone().any(|bar| bar.error.is_some());
    let waited = bars.iter().any(|bar| bar.sort == BarSort::Wait);
    let mut words = Vec::new();
    if streamed {
        words.push(format!("{BEFORE} before the first piece of an answer"));
    }
    if failed {
        words.push(format!("{FAILED} a request that failed"));
    }
    if waited {
        words.push(format!("{WAIT} the wait before it is sent again"));
    }
    if bars.iter().any(|bar| bar.joules.is_some()) {
        words.push("J a request's part of what GPUs used beyond idling".to_owned());
    }
    if !devices.is_empty() {
        words.push(format!("{}…{} how much of the time a GPU computed", height(0.0), height(1.0)));
    }
    if words.is_empty() {
        return String::new();
    }
    let in_one = words.join("   ");
    let lines = if columns(&in_one) <= width { vec![in_one] } else { words };
    let lines: Vec<String> = lines.iter().map(|line| paint(DIM, &cut(line, width))).collect();
    format!("\n{}\n", lines.join("\n"))
}

/// The time from the left end to the right one.
struct Axis {
    from: Timestamp,
    micros: u64,
    room: usize,
}

impl Axis {
    /// Returns the column in which a moment lies.
    fn column(&self, at: Timestamp) -> usize {
        let passed = u128::from(at.micros_since(self.from)) * self.room as u128 / u128::from(self.micros);
        usize::try_from(passed).unwrap_or(usize::MAX).min(self.room)
    }

    /// Returns where a bar begins and ends: at least one column, within the axis.
    fn ends(&self, start: Timestamp, end: Timestamp) -> (usize, usize) {
        let first = self.column(start).min(self.room - 1);
        (first, self.column(end).clamp(first + 1, self.room))
    }

    fn bar(&self, bar: &Bar) -> String {
        let (first, end) = self.ends(bar.start, bar.end);
        let long = end - first;
        let drawn = match bar.sort {
            BarSort::Whole if long == 1 => paint(DIM, "│"),
            BarSort::Whole => paint(DIM, &format!("├{}┤", "─".repeat(long - 2))),
            BarSort::Wait => paint(DIM, &WAIT.to_string().repeat(long)),
            BarSort::Request if bar.error.is_some() => paint(RED, &FAILED.to_string().repeat(long)),
            BarSort::Request => {
                let piece = bar.first_piece.map_or(first, |at| self.column(at).clamp(first, end - 1));
                let (before, asked) = (piece - first, end - piece);
                format!("{}{}", BEFORE.to_string().repeat(before), ASKED.to_string().repeat(asked))
            }
        };
        format!("{}{drawn}", " ".repeat(first))
    }

    /// Returns what a device did in the time of each column; a blank where nobody knows.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a run are fewer than 2^52")]
    fn lane(&self, lane: &Lane) -> String {
        let mut sums = vec![(0.0, 0.0); self.room];
        let width = self.micros as f64 / self.room as f64;
        let until = Timestamp(self.from.0.saturating_add_unsigned(self.micros));
        for (from, to, percent) in &lane.entries {
            if *to <= self.from || *from >= until {
                continue;
            }
            let (first, end) = self.ends(*from, *to);
            let (start, stop) = (from.micros_since(self.from) as f64, to.micros_since(self.from) as f64);
            for (column, sum) in sums.iter_mut().enumerate().take(end).skip(first) {
                let left = column as f64 * width;
                let common = ((left + width).min(stop) - left.max(start)).max(0.0);
                sum.0 += common;
                sum.1 += common * f64::from(*percent);
            }
        }
        let level = |(known, busy): (f64, f64)| if known > 0.0 { height(busy / known / 100.0) } else { ' ' };
        sums.into_iter().map(level).collect()
    }

    /// Returns the marks above the bars, at round times.
    fn marks(&self) -> String {
        let least = u128::from(self.micros) * APART as u128 / self.room as u128;
        let step = round_up(u64::try_from(least).unwrap_or(u64::MAX));
        let mut line = String::new();
        for mark in (0_u64..).map_while(|count| count.checked_mul(step)).take_while(|mark| *mark <= self.micros) {
            let at = self.column(Timestamp(self.from.0.saturating_add_unsigned(mark)));
            let word = if mark == 0 { "0".to_owned() } else { duration(mark) };
            if at + columns(&word) + 1 > self.room {
                break;
            }
            line.push_str(&" ".repeat(at.saturating_sub(columns(&line))));
            line.push('╷');
            line.push_str(&word);
        }
        line
    }
}

/// Returns the next round time: 1, 2 or 5 of a power of ten up to 10 s, then what clocks have.
fn round_up(micros: u64) -> u64 {
    const SECOND: u64 = 1_000_000;
    let clock =
        [20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400].map(|one| one * SECOND);
    if micros > 10 * SECOND {
        let days = micros.div_ceil(86_400 * SECOND) * 86_400 * SECOND;
        return clock.into_iter().find(|&round| round >= micros).unwrap_or(days);
    }
    let decades = (3..=7).map(|power| 10_u64.pow(power));
    let rounds = decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]);
    rounds.into_iter().find(|&round| round >= micros).unwrap_or(10 * SECOND)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use expect_test::{Expect, expect};

    use super::*;
    use crate::base::{Millis, RunId};
    use crate::event::{CaseStatus, FailureKind, FinishReason, TaskOutput, TaskStatus};
    use crate::report::testing::Story;
    use crate::telemetry::{Projector, Settings, waterfall};

    fn check(story: &Story, width: usize, expected: &Expect) {
        let mut projector = Projector::new(RunId::from("debate-1"), Settings::default(), None);
        let mut spans = Vec::new();
        for recorded in &story.log {
            projector.add(recorded, &|_, _| None, &mut |span| spans.push(span));
        }
        let drawn = draw(&waterfall(&spans), &[], width);
        let plain = strip_str(&drawn).to_string();
        assert!(plain.lines().all(|line| columns(line) <= width), "{plain}");
        expected.assert_eq(&plain);
    }

    /// A turn that is sent twice, a step that is not asked.
    fn stumble() -> Story {
        let mut story = Story::begin("debate");
        story.admit(0, "tea or coffee", &serde_json::json!({}));
        let first = story.start(0, "debate", "turn/1", 1, "pro");
        story.fail_again(&first, FailureKind::Overloaded, "HTTP 503: busy");
        story.wait(Millis::seconds(2));
        let second = story.start(0, "debate", "turn/1", 2, "pro");
        story.answer(&second, "Cats.", FinishReason::Stop);
        let dialogue = TaskOutput::Dialogue { turns: vec![], stopped_by: "x".into() };
        story.settle(0, "debate", TaskStatus::Ok, Some(dialogue));
        story.settle(0, "verdict", TaskStatus::Skipped, None);
        story.over(0, CaseStatus::Ok);
        story
    }

    #[test]
    fn a_case_is_drawn_request_by_request() {
        check(
            &stumble(),
            90,
            &expect![[r#"
                                                            ╷0              ╷2.0 s           ╷4.0 s
                case 0 tea or coffee        5.5 s           ├────────────────────────────────────────────┤
                │ verdict was not asked: a step that it reads failed
                └ debate                    4.0 s  20 → 10      ├───────────────────────────────┤
                  ├ turn/1 pro               0 ms                   ×
                  │   HTTP 503: busy
                  ├ wait                    2.5 s                   ·····················
                  └ turn/1 pro, attempt 2  450 ms  20 → 10                               ░███

                ░ before the first piece of an answer
                × a request that failed
                · the wait before it is sent again
            "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_names_before_bars() {
        check(
            &stumble(),
            50,
            &expect![[r#"
                                                  ╷0
                case 0 tea or…    5.5 s           ├──────────────┤
                │ verdict was not asked: a step that it reads fai…
                └ debate          4.0 s  20 → 10   ├──────────┤
                  ├ turn/1 pro     0 ms             ×
                  │   HTTP 503: busy
                  ├ wait          2.5 s             ········
                  └ turn/1 pro…  450 ms  20 → 10            █

                ░ before the first piece of an answer
                × a request that failed
                · the wait before it is sent again
            "#]],
        );
    }

    fn bar(label: &str, sort: BarSort, last: &[bool], ends: (i64, i64), joules: Option<f64>) -> Bar {
        Bar {
            label: label.to_owned(),
            sort,
            last: last.to_vec(),
            start: Timestamp(ends.0),
            end: Timestamp(ends.1),
            first_piece: None,
            input: None,
            output: None,
            joules,
            error: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn energy_stands_beside_time() {
        let bars = [
            bar("case 0", BarSort::Whole, &[true], (0, 4_000_000), Some(1_234.56)),
            bar("say", BarSort::Request, &[true, false], (0, 1_000_000), Some(1_234.56)),
            bar("wait", BarSort::Wait, &[true, false], (1_000_000, 2_000_000), None),
            bar("say, attempt 2", BarSort::Request, &[true, true], (2_000_000, 4_000_000), None),
        ];
        expect![[r#"
                                                ╷0               ╷2.0 s
            case 0            4.0 s  1,234.6 J  ├────────────────────────────────┤
            ├ say             1.0 s  1,234.6 J  ████████
            ├ wait            1.0 s                     ·········
            └ say, attempt 2  2.0 s          ?                   █████████████████

            · the wait before it is sent again
            J a request's part of what GPUs used beyond idling
        "#]]
        .assert_eq(&strip_str(&draw(&bars, &[], 70)).to_string());
    }

    #[test]
    fn a_device_is_drawn_on_the_same_axis() {
        let bars = [bar("case 0", BarSort::Whole, &[true], (0, 4_000_000), None)];
        let entry =
            |second: i64, percent| (Timestamp(second * 1_000_000), Timestamp((second + 1) * 1_000_000), percent);
        // Nobody knows of the last second.
        let entries = vec![entry(-1, 100), entry(0, 0), entry(1, 100), entry(2, 50)];
        let text = draw(&bars, &[Lane { label: "GPU 0".to_owned(), entries }], 60);
        expect![[r#"
                             ╷0                   ╷2.0 s
            case 0    4.0 s  ├─────────────────────────────────────────┤
            GPU 0            ▁▁▁▁▁▁▁▁▁▁███████████▅▅▅▅▅▅▅▅▅▅▅

            ▁…█ how much of the time a GPU computed
        "#]]
        .assert_eq(&strip_str(&text).to_string());
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(draw(&[], &[], 80), "");
    }

    #[test]
    fn marks_stand_at_round_times() {
        let told = |micros: u64| round_up(micros);
        assert_eq!([told(1_100), told(180_000), told(4_000_000)], [2_000, 200_000, 5_000_000]);
        assert_eq!(
            [told(11_000_000), told(61_000_000), told(90_000_000_000)],
            [20_000_000, 120_000_000, 172_800_000_000]
        );
    }
}
