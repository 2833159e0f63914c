//! The last lines of a run: the summary, and where to look.

use crate::cli::printer::{BOLD, Printer, paint};
use crate::report::{RunStatus, Summary, summary_text};

/// Where to look after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The results file; none when no file was written.
    pub results: Option<String>,
    /// The folder of the run.
    pub kept: String,
    /// How other commands name it from here: `last`, or its folder when it lies in another project.
    pub name: String,
    /// The budgets of a run that a budget has stopped, as `--set` takes them: one of them must be raised.
    pub spent: Vec<String>,
}

/// Says what a run came to: the summary, then where results, details and the run itself are.
pub fn say_ending(printer: &mut Printer, summary: &Summary, ending: &Ending) {
    let width = printer.err().reading_width();
    let text = summary_text(summary, width);
    let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
    printer.say("");
    printer.say(&paint(BOLD, head));
    printer.say(rest);
    printer.say("");
    printer.say(&format!(
        "  results    {}",
        ending.results.clone().unwrap_or_else(|| format!("pipe results {}", ending.name))
    ));
    printer.say(&format!("  details    pipe show {}", ending.name));
    printer.say(&format!("  kept in    {}", ending.kept));
    if summary.cases.failed > 0 && summary.status == RunStatus::Complete {
        printer.say(&format!("  ask again  pipe retry {}", ending.name));
    }
    if !matches!(summary.status, RunStatus::Complete | RunStatus::Cancelled) {
        let name = if ending.name == "last" { String::new() } else { format!(" {}", ending.name) };
        let raised = match ending.spent.as_slice() {
            [] => String::new(),
            [only] => format!(" --set {only}=…"),
            several => format!(" --set KEY=…   (KEY: {})", several.join(" or ")),
        };
        printer.say(&format!("  go on      pipe resume{name}{raised}"));
    }
}
