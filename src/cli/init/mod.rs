//! `pipe init`: a pipeline to start from, with data, a schema for editors and a check for CI.
//! Never: writes over a file that is there, unless `--force` says so.
//! Start at [`init`].

mod args;
mod ask;
mod files;
#[cfg(test)]
mod tests;

pub use args::{InitArgs, Template};

use std::io::{self, IsTerminal as _};
use std::path::Path;

use serde_json::json;

use super::exit::{CommandError, Exit};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use crate::backend::discover;
use crate::spec::{BaseUrl, FromScalar as _, Literal};
use ask::{Found, Question};
use files::{NewFile, Written};

/// Writes a folder to start from.
///
/// # Errors
/// A file is in the way, nobody answers on the terminal, or the folder takes no files.
///
/// # Cancel safety
/// Dropped while it looks for servers it has written nothing.
pub(super) async fn init(args: &InitArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    let asks = !args.yes && !args.json && io::stdin().is_terminal() && printer.err().is_terminal();
    let found = if args.backend.is_none() { look().await? } else { Found::default() };
    let mut stdin = io::stdin().lock();
    let mut question = Question { asks, input: &mut stdin, printer };
    let template = match args.template {
        Some(template) => template,
        None => question.template()?,
    };
    let backend = match &args.backend {
        Some(backend) => backend.clone(),
        None => question.backend(&found)?,
    };
    check_backend(&backend)?;
    let folder = args.folder.as_deref().unwrap_or(Path::new("."));
    let files = files::files(template, &backend);
    let written = files::write(folder, &files, args.force)?;
    say(folder, template, &files, &written, args.json, printer)?;
    Ok(Exit::Done)
}

/// Looks for what `auto` would be.
async fn look() -> Result<Found, CommandError> {
    let env = |name: &str| std::env::var(name).ok();
    let looked = discover::look(&env, None)
        .await
        .map_err(|error| CommandError::new(Exit::BackendUnusable, format!("TLS cannot be set up: {error}")))?;
    let server = discover::choose(&looked, &[]).map(|chosen| {
        let model = chosen.server.usual().map_or("its model", discover::short_name);
        format!("{model} by {} at {}", chosen.server.kind.word(), chosen.url)
    });
    let has_embedded = cfg!(feature = "embedded") && crate::backend::weights::locate(&env).is_ok();
    Ok(Found { server, has_embedded })
}

fn check_backend(backend: &str) -> Result<(), CommandError> {
    BaseUrl::from_scalar(&Literal::Text(backend.to_owned())).map(|_| ()).map_err(|refusal| {
        CommandError::new(Exit::Usage, format!("{backend:?} is no backend: {}", refusal.reason))
            .help("write auto, sim, embedded, or a URL such as http://127.0.0.1:8080/v1")
    })
}

fn say(
    folder: &Path,
    template: Template,
    files: &[NewFile],
    written: &[Written],
    as_json: bool,
    printer: &mut Printer,
) -> Result<(), CommandError> {
    let file = format!("{}.yaml", template.word());
    let mut next = vec![
        (format!("pipe plan {file}"), "what would be asked, before any call"),
        (format!("pipe run {file}"), "ask it"),
        ("pipe show last".to_owned(), "what came of it, down to every prompt and answer"),
    ];
    if folder != Path::new(".") {
        let quoted = folder.display().to_string();
        next.insert(0, (format!("cd {}", inert(&quoted)), ""));
    }
    if as_json {
        let files: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let next: Vec<&str> = next.iter().map(|(command, _)| command.as_str()).collect();
        printer.line(&json!({ "folder": folder, "files": files, "next": next }).to_string())?;
        return Ok(());
    }
    printer.line(&paint(BOLD, &format!("written to {}", inert(&folder.display().to_string()))))?;
    let widest = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for (file, written) in files.iter().zip(written) {
        let note = match written {
            Written::New => file.says,
            Written::Added => "runs stay out of git: one line was added",
            Written::Same => "was there already",
        };
        printer.line(&format!("  {:<widest$}  {}", file.path, paint(DIM, note)))?;
    }
    printer.line("")?;
    printer.line(&paint(BOLD, "next"))?;
    let widest = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, says) in next {
        let line = format!("  {command:<widest$}  {}", paint(DIM, says));
        printer.line(line.trim_end())?;
    }
    Ok(())
}
