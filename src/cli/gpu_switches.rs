//! `pipe gpu RUN`, the switches of model: what each took more than usual, and how much of that was a queue.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::printer::{BOLD, DIM, inert, paint};
use super::table::Table;
use crate::backend::discover::short_name;
use crate::base::Timestamp;
use crate::event::Claimed;
use crate::report::gpu::switches::{Switch, Switched};
use crate::report::{duration, grouped, wrapped};

/// Switches that a page shows: the longest.
const SHOWN: usize = 8;

/// Returns all of them, for programs.
pub(super) fn to_json(switched: &Switched, began: Timestamp) -> Value {
    let round = |seconds: f64| (seconds * 1e3).round() / 1e3;
    let one = |switch: &Switch| {
        let claimed = |get: fn(Claimed) -> Option<u64>| switch.claimed.and_then(get).map(|micros| micros / 1_000);
        json!({
            "start_ms": switch.at.since(began).0, "backend": switch.backend.as_str(),
            "from": switch.from.as_deref(), "to": &*switch.to, "step": switch.step.as_str(),
            "until": if switch.streamed { "first_piece" } else { "answer" },
            "took_s": round(switch.took_s), "together": switch.together, "others_in_flight": switch.others,
            "usual_s": switch.usual.map(|usual| round(usual.median_s)),
            "usual_spread_s": switch.usual.map(|usual| round(usual.spread_s)),
            "usual_requests": switch.usual.map_or(0, |usual| usual.requests),
            "beyond_usual_s": switch.beyond_s().map(round), "behind_others_s": switch.queued_s().map(round),
            "loading_s": switch.loading_s().map(round),
            "server_load_ms": claimed(|claimed| claimed.load_us), "before_server_worked_s": switch.lay_s().map(round),
        })
    };
    json!({ "each": switched.each.iter().map(one).collect::<Vec<_>>(), "more": switched.more, "requests": switched.requests })
}

/// Says what switches took; nothing where there was none but the first request of each backend and nobody can compare it.
pub(super) fn text(switched: &Switched, began: Timestamp, width: usize) -> String {
    let is_told = |switch: &&Switch| switch.from.is_some() || switch.usual.is_some();
    let mut told: Vec<&Switch> = switched.each.iter().filter(is_told).collect();
    if told.is_empty() {
        return String::new();
    }
    let count = told.len() as u64 + switched.more;
    told.sort_by(|one, other| {
        let by = |switch: &Switch| switch.beyond_s().unwrap_or(0.0);
        by(other).total_cmp(&by(one)).then(one.at.cmp(&other.at))
    });
    let slow = told.iter().filter(|switch| switch.beyond_s().is_some()).count();
    let head = paint(BOLD, "switches of model, the first request to each backend among them");
    let unknown = told.iter().filter(|switch| switch.usual.is_none()).count() as u64 + switched.more;
    let mut summary = format!("{} of {} requests", grouped(count), grouped(switched.requests));
    match slow {
        0 if unknown == 0 => summary.push_str("; none took longer than usual"),
        0 => {}
        slow => write!(summary, "; {slow} took longer than usual").expect("a text takes all"),
    }
    if unknown > 0 {
        let unknown = grouped(unknown);
        write!(summary, "; of {unknown} nobody can tell (fewer than three others to compare with): they took ")
            .expect("a text takes all");
        let mut took: Vec<f64> =
            told.iter().filter(|switch| switch.usual.is_none()).map(|switch| switch.took_s).collect();
        took.sort_by(f64::total_cmp);
        let middle = took.get(took.len() / 2).copied().unwrap_or_default();
        write!(summary, "{} in the median, with queue, loading and work", time(middle)).expect("a text takes all");
    }
    let mut text = format!("\n{head}\n{}\n", wrapped(&summary, width, 2));
    if slow == 0 {
        return text;
    }
    let server_tells = told.iter().any(|switch| server(switch).is_some());
    let mut heads = vec!["at", "model", "step", "took", "usually", "behind others", "loading"];
    if server_tells {
        heads.push("by the server");
    }
    let mut table = Table::new(&heads);
    let shown = told.iter().filter(|switch| switch.beyond_s().is_some()).take(SHOWN);
    for switch in shown.clone() {
        let mut cells = row(switch, began).to_vec();
        if server_tells {
            cells.push(server(switch).unwrap_or_else(|| "?".to_owned()));
        }
        table.add(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text.push_str(&table.render(width, |head| paint(DIM, head)));
    text.push('\n');
    for note in notes(slow, shown.clone().any(|switch| !switch.streamed)) {
        text.push_str(&paint(DIM, &wrapped(&note, width, 0)));
        text.push('\n');
    }
    text
}

fn row(switch: &Switch, began: Timestamp) -> [String; 7] {
    let model = match &switch.from {
        Some(from) => format!("{} -> {}", inert(short_name(from)), inert(short_name(&switch.to))),
        None => format!("{}, the first", inert(short_name(&switch.to))),
    };
    let seconds = |of: Option<f64>| of.map_or_else(|| "?".to_owned(), time);
    let usual = switch.usual.map_or_else(
        || "?".to_owned(),
        |usual| format!("{} (of {})", time(usual.median_s), grouped(usual.requests as u64)),
    );
    let others = match (switch.others, seconds(switch.queued_s())) {
        (0, _) => "-".to_owned(),
        (others, queued) => format!("{queued} (of {})", grouped(others)),
    };
    [
        format!("+{}", duration(switch.at.micros_since(began))),
        model,
        inert(switch.step.as_str()).to_string(),
        time(switch.took_s),
        usual,
        others,
        seconds(switch.loading_s()),
    ]
}

/// Says what the server's own clocks tell of a switch.
fn server(switch: &Switch) -> Option<String> {
    let load =
        switch.claimed.and_then(|claimed| claimed.load_us).map(|load| format!("loaded for {}", duration(load)));
    let read = switch.claimed.and_then(|claimed| claimed.prompt_us).map(duration);
    let lay = || Some(format!("lay for {}, prompt read in {}", time(switch.lay_s()?), read?));
    load.or_else(lay)
}

fn notes(slow: usize, has_whole: bool) -> Vec<String> {
    let mut notes = vec![format!(
        "took: from sent to the first piece{}; usually: the median of requests to the same model for the same step, with \
         half to twice as many in flight, that waited for no switch; behind others: until the backend was done with \
         requests for other models, which it may do at the same time; loading: the rest, or another queue that is not \
         this run's; no more than it lay there where the server tells",
        if has_whole { ", or to the whole answer where it is not streamed" } else { "" }
    )];
    if slow > SHOWN {
        notes.push(format!("{} more are told by --json", slow - SHOWN));
    }
    notes
}

fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run, never negative")]
    let micros = (seconds.max(0.0) * 1e6) as u64;
    duration(micros)
}
