//! From arguments to the command that they name.

use clap::CommandFactory as _;
use serde_json::json;
use tracing::Instrument as _;

use super::args::{Arguments, Command};
use super::exit::{CommandError, Exit};
use super::printer::{Printer, RED, inert, paint};
use super::{
    apply, check, doctor, explain, export, gitops, gpu, init, journal, place, plan, prune, reproduce, results,
    resume, retry, run, runs, show, steer, top, trace, tune,
};
use crate::telemetry::{Collector, Own, Signal};

/// Does what the command line asks for.
///
/// # Errors
/// See [`CommandError`]; how a run ends is an exit code, no error.
///
/// # Cancel safety
/// Not cancel safe: a run that is dropped is interrupted as by `kill -9`.
pub async fn execute(arguments: Arguments, printer: &mut Printer) -> Result<Exit, CommandError> {
    let Some(name) = arguments.command.works_as() else { return carry_out(arguments, printer).await };
    let Some(own) = own_spans() else { return carry_out(arguments, printer).await };
    let span = tracing::info_span!("pipe.command", pipe.command = name, pipe.run.id = tracing::field::Empty);
    let ended = Box::pin(carry_out(arguments, printer).instrument(span)).await;
    // Whoever is away for longer misses it; what happened in the run is told by other means.
    tokio::task::spawn_blocking(move || own.finish()).await.ok();
    ended
}

/// Begins to tell what this process does, where a collector is named; one that cannot be used is complained about by
/// the command that needs it.
fn own_spans() -> Option<Own> {
    let collector = Collector::find(Signal::Traces, None, &|name| std::env::var(name).ok()).ok().flatten()?;
    Own::start(&collector, tokio::runtime::Handle::current()).ok()
}

async fn carry_out(arguments: Arguments, printer: &mut Printer) -> Result<Exit, CommandError> {
    match arguments.command {
        Command::Init(args) => init::init(&args, printer).await,
        Command::Check(args) => check::check(&args, printer),
        Command::Plan(args) => plan::plan(&args, printer),
        Command::Apply(args) => Box::pin(apply::apply(&args, printer)).await,
        Command::Run(args) => Box::pin(run::run(&args, printer)).await,
        Command::Resume(args) => resume::resume(&args, printer).await,
        Command::Retry(args) => retry::retry(&args, printer).await,
        Command::Reproduce(args) => Box::pin(reproduce::reproduce(&args, &place::home_here(), printer)).await,
        Command::Pause(args) => steer::pause(&args, &place::home_here(), printer).await,
        Command::Tune(args) => tune::tune(&args, &place::home_here(), printer).await,
        Command::Stop(args) => steer::stop(&args, &place::home_here(), printer).await,
        Command::Cancel(args) => steer::cancel(&args, &place::home_here(), printer).await,
        Command::Top(args) => top::top(&args, &place::home_here(), printer).await,
        Command::Show(args) => show::show(&args, &place::home_here(), printer),
        Command::Runs(args) => runs::runs(&args, &place::home_here(), printer),
        Command::Results(args) => results::results(&args, &place::home_here(), printer),
        Command::Gpu(args) => gpu::gpu(&args, &place::home_here(), printer).await,
        Command::Gitops(args) => Box::pin(gitops::gitops(&args, &place::home_here(), printer)).await,
        Command::Doctor(args) => doctor::doctor(&args, &place::home_here(), printer).await,
        Command::Explain(args) => explain::explain(&args, printer),
        Command::Journal(args) => journal::journal(&args, &place::home_here(), printer),
        Command::Prune(args) => prune::prune(&args, &place::home_here(), printer),
        Command::Trace(args) => trace::trace(&args, &place::home_here(), printer).await,
        Command::Export(args) => export::export(&args, &place::home_here(), printer).await,
        Command::Schema { part, project } => {
            let schema = match (part, project) {
                (true, _) => crate::spec::part_schema(),
                (_, true) => crate::spec::project_schema(),
                (false, false) => crate::spec::schema(),
            };
            let schema = serde_json::to_string_pretty(&schema).map_err(std::io::Error::from)?;
            printer.line(&schema)?;
            Ok(Exit::Done)
        }
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Arguments::command(), "pipe", &mut script);
            printer.data(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}

impl CommandError {
    /// Tells a program what is wrong, on stdout; a stdout that is gone is what is wrong already.
    pub fn print_json(&self, printer: &mut Printer) {
        let help = match self {
            Self::Told { help, .. } => help.as_deref(),
            Self::Output(_) => return,
        };
        let error = json!({ "exit": self.exit().code(), "message": self.to_string(), "help": help });
        drop(printer.line(&json!({ "error": error }).to_string()));
    }

    /// Says what is wrong and what to do about it; a reader that went away is not worth a word.
    pub fn say(&self, printer: &mut Printer) {
        if self.exit() == Exit::Done {
            return;
        }
        printer.complain(&format!("{} {}", paint(RED, "error:"), inert(&self.to_string())));
        if let Self::Told { help: Some(help), .. } = self {
            printer.complain(&format!("   = help: {}", inert(help)));
        }
    }
}
