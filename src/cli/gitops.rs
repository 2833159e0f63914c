//! `pipe gitops`: makes the runs of a home those of a branch, again and again, and says what happens.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::exit::{CommandError, Exit, with_causes};
use super::gitops_args::GitopsArgs;
use super::printer::{BOLD, DIM, Printer, RED, inert, paint};
use super::{gitops_standing, gitops_statuses};
use crate::base::Timestamp;
use crate::gitops::{
    AllowedSigners, Board, Credentials, Ended, Entry, Executor, Heard, Limits, OpenError, Protocol, Reconciler,
    Remote, RemoteError, Secret, Settings, Surroundings, serve,
};
use crate::journal::Home;

/// Pipelines that a line names.
const NAMED: usize = 6;

/// Reconciles until it is told to leave, or once.
///
/// # Errors
/// The command line names what is never fetched, another process does the same, or the home cannot be used.
///
/// # Cancel safety
/// Dropped, it kills what it has started, as a crash would: runs can be resumed.
pub(super) async fn gitops(args: &GitopsArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.status {
        return gitops_standing::status(home, args.json, printer);
    }
    let variable = |name: &str| std::env::var(name).ok();
    let settings = settings(args, &variable)?;
    let executor = executor(args, home)?;
    home.prepare().map_err(|error| CommandError::journal(&error))?;
    let (remote, branch) = (settings.remote.clone(), settings.branch.clone());
    let reconciler = Reconciler::open(settings, executor).map_err(|error| refused(&error))?;
    let board = Arc::new(Board::new(variable(Secret::VARIABLE).as_deref().and_then(Secret::of)));
    let mut services = JoinSet::new();
    let mut out = Voice { printer, json: args.json };
    let listening = match args.listen {
        Some(address) => Some(listen(address, &board, &mut services).await?),
        None => None,
    };
    out.begin(&remote, branch.name(), listening);
    let (leave, hurry) = (CancellationToken::new(), CancellationToken::new());
    let mut listeners: JoinSet<std::io::Error> = JoinSet::new();
    let (first, second) = (leave.clone(), hurry.clone());
    let (tell, told) = tokio::sync::watch::channel(None);
    listeners.spawn(async move { signals(&first, &second, &tell).await });
    let mut heard = |heard: &Heard| out.say(heard);
    let ended = tokio::select! {
        ended = reconciler.run(&board, &leave, &hurry, &mut heard) => ended,
        Some(error) = listeners.join_next() => {
            let error = error.map_or_else(|error| error.to_string(), |error| error.to_string());
            return Err(CommandError::new(Exit::Bug, format!("signals cannot be heard: {error}")));
        }
    };
    services.shutdown().await;
    Ok(match ended {
        Ended::Told => told.borrow().unwrap_or(Exit::Terminated),
        Ended::Once(None) => Exit::Done,
        Ended::Once(Some(code)) => Exit::of_code(code).unwrap_or(Exit::Bug),
        Ended::Refused => Exit::InvalidPipeline,
        Ended::Unreachable => Exit::BackendUnusable,
        Ended::Unknown => Exit::JournalUnusable,
    })
}

fn settings(args: &GitopsArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Settings, CommandError> {
    let usage = |error: RemoteError| CommandError::new(Exit::Usage, error.to_string());
    let allowed: Vec<Protocol> = args.allow_protocol.iter().map(|choice| Protocol::from(*choice)).collect();
    let signers = args.allowed_signers.as_deref().map(|path| {
        AllowedSigners::read(path)
            .map_err(|error| CommandError::new(Exit::Usage, format!("--allowed-signers {}: {error}", path.display())))
    });
    let remote = Remote::parse(args.repo.as_deref().unwrap_or_default(), &allowed).map_err(usage)?;
    let (branch, folder) = (args.branch.parse().map_err(usage)?, args.path.parse().map_err(usage)?);
    let statuses = gitops_statuses::statuses(args, &remote, &branch, &folder, variable)?;
    Ok(Settings {
        remote,
        branch,
        folder,
        credentials: Credentials::of(variable),
        limits: Limits {
            bytes: args.most_bytes,
            files: args.most_files as usize,
            time: args.timeout.duration(),
            depth: args.depth,
        },
        interval: args.interval,
        signers: signers.transpose()?,
        statuses,
        once: args.once,
    })
}

fn executor(args: &GitopsArgs, home: &Home) -> Result<Executor, CommandError> {
    let surroundings = Surroundings::passing(&args.pass_env, std::env::vars_os())
        .map_err(|error| CommandError::new(Exit::Usage, error.to_string()))?;
    Ok(Executor {
        program: std::env::current_exe()?,
        home: std::path::absolute(home.path())?,
        surroundings,
        prune: args.prune,
    })
}

fn refused(error: &OpenError) -> CommandError {
    let told = CommandError::new(Exit::Usage, with_causes(error));
    match error {
        OpenError::Held { .. } => {
            told.help("`pipe gitops --status` says how it stands; one for each repository and home")
        }
        OpenError::Git(_) | OpenError::OldGit { .. } => told.help("install git 2.31 or newer"),
        OpenError::File { .. } => CommandError::new(Exit::JournalUnusable, with_causes(error)),
    }
}

async fn listen(
    address: SocketAddr,
    board: &Arc<Board>,
    services: &mut JoinSet<()>,
) -> Result<SocketAddr, CommandError> {
    let refused = |error: std::io::Error| CommandError::new(Exit::Usage, format!("--listen {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let board = Arc::clone(board);
    services.spawn(async move { match serve(listener, board).await {} });
    Ok(address)
}

/// Waits for signals for ever: the first asks to leave, the next hurries; ends only when they cannot be heard.
async fn signals(
    leave: &CancellationToken,
    hurry: &CancellationToken,
    tell: &tokio::sync::watch::Sender<Option<Exit>>,
) -> std::io::Error {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    loop {
        let exit = tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
        };
        if leave.is_cancelled() {
            hurry.cancel();
        }
        tell.send_replace(Some(exit));
        leave.cancel();
    }
}

/// Tells what happens: a line for people, or one of JSON.
struct Voice<'a> {
    printer: &'a mut Printer,
    json: bool,
}

impl Voice<'_> {
    fn begin(&mut self, remote: &Remote, branch: &str, listening: Option<SocketAddr>) {
        if self.json {
            let listening = listening.map(|address| format!("http://{address}"));
            self.line(&json!({
                "event": "started", "at_us": now().0, "repository": remote.url(), "branch": branch, "listen": listening,
            }));
            return;
        }
        self.text(BOLD, "following", &format!("{} of {}", branch, remote.url()));
        if let Some(address) = listening {
            self.text(DIM, "listening", &format!("http://{address}/status, /healthz, /webhook"));
        }
    }

    fn say(&mut self, heard: &Heard) {
        if self.json {
            self.line(&as_json(heard));
            return;
        }
        match heard {
            Heard::Fetched { commit } => self.text(BOLD, "fetched", commit.short()),
            Heard::Unreachable { why, again } => {
                self.text(RED, "unreachable", why);
                self.more(&format!("asked again in {}", wait(*again)));
            }
            Heard::Reachable { commit } => self.text(BOLD, "reachable", &format!("again, at {}", commit.short())),
            Heard::LeftOut { note } => self.text(DIM, "left out", note),
            Heard::Planned { commit, entries } => {
                self.text(BOLD, "planned", &format!("{}: {}", commit.short(), states(entries)));
            }
            Heard::InSync { commit, entries } => {
                self.text(BOLD, "in sync", &format!("{}: {}", commit.short(), states(entries)));
            }
            Heard::NotPlanned { commit, why, is_refused, stays, .. } => {
                self.text(
                    RED,
                    if *is_refused { "refused" } else { "not planned" },
                    &format!("{}: {why}", commit.short()),
                );
                match stays {
                    Some(stays) if stays != commit => self.more(&format!("{} stays", stays.short())),
                    Some(_) | None if !is_refused => self.more("tried again later"),
                    Some(_) | None => self.more("nothing was begun"),
                }
            }
            Heard::Applying { commit } => self.text(BOLD, "applying", commit.short()),
            Heard::Stopping { commit } => {
                self.text(BOLD, "stopping", &format!("{}: calls in flight may end", commit.short()));
            }
            Heard::Applied { commit, exit, entries, why, again } => {
                let how = match exit {
                    Some(0) => String::new(),
                    Some(code) => format!(", exit code {code}"),
                    None => ", killed".to_owned(),
                };
                let is_good = *exit == Some(0);
                let word = if is_good {
                    "applied"
                } else if *exit == Some(143) {
                    "stopped"
                } else {
                    "failed"
                };
                let states = if entries.is_empty() { String::new() } else { format!(": {}", outcomes(entries)) };
                let style = if is_good || *exit == Some(143) { BOLD } else { RED };
                self.text(style, word, &format!("{}{how}{states}", commit.short()));
                if let Some(why) = why {
                    self.more(why);
                }
                if let Some(again) = again {
                    self.more(&format!("tried again in {}", wait(*again)));
                }
            }
            Heard::Told { commit, state, description } => {
                self.text(DIM, "told", &format!("{}: {state}: {description}", commit.short()));
            }
            Heard::Untold { commit, state, why, again } => {
                self.text(RED, "not told", &format!("{}: {state}: {why}", commit.short()));
                match again {
                    Some(again) => self.more(&format!("told again in {}; the runs do not wait for it", wait(*again))),
                    None => self.more("not told again; the runs are none the worse"),
                }
            }
        }
    }

    fn text(&mut self, style: anstyle::Style, word: &str, says: &str) {
        let line = format!("{} {} {}", paint(DIM, &clock()), paint(style, &format!("{word:<11}")), inert(says));
        self.printer.say(&line);
    }

    fn more(&mut self, says: &str) {
        self.printer.say(&format!("{:20} {}", "", inert(says)));
    }

    fn line(&mut self, line: &Value) {
        // A reader that went away is no reason to stop.
        if let Err(error) = self.printer.line(&line.to_string()) {
            tracing::debug!(%error, "nobody reads the events");
        }
    }
}

/// Returns an event for programs.
fn as_json(heard: &Heard) -> Value {
    let mut line = match heard {
        Heard::Fetched { commit } => json!({ "event": "fetched", "commit": commit }),
        Heard::Unreachable { why, again } => json!({ "event": "unreachable", "why": why, "again_us": again.0 }),
        Heard::Reachable { commit } => json!({ "event": "reachable", "commit": commit }),
        Heard::LeftOut { note } => json!({ "event": "left_out", "note": note }),
        Heard::Planned { commit, entries } => json!({ "event": "planned", "commit": commit, "entries": entries }),
        Heard::InSync { commit, entries } => json!({ "event": "in_sync", "commit": commit, "entries": entries }),
        Heard::NotPlanned { commit, doing, why, is_refused, stays } => {
            let event = if *is_refused { "refused" } else { "not_planned" };
            json!({ "event": event, "commit": commit, "doing": doing, "why": why, "stays": stays })
        }
        Heard::Applying { commit } => json!({ "event": "applying", "commit": commit }),
        Heard::Stopping { commit } => json!({ "event": "stopping", "commit": commit }),
        Heard::Applied { commit, exit, entries, why, again } => json!({
            "event": "applied", "commit": commit, "exit": exit, "why": why, "again_us": again.map(|at| at.0),
            "entries": entries,
        }),
        Heard::Told { commit, state, description } => {
            json!({ "event": "told", "commit": commit, "state": state, "description": description })
        }
        Heard::Untold { commit, state, why, again } => json!({
            "event": "untold", "commit": commit, "state": state, "why": why, "again_us": again.map(|at| at.0),
        }),
    };
    line["at_us"] = now().0.into();
    line
}

/// Counts entries by their states: `nightly and 2 more are new, 7 unchanged`.
pub(super) fn states(entries: &[Entry]) -> String {
    let mut words: Vec<(&str, Vec<&str>)> = Vec::new();
    for entry in entries {
        match words.iter_mut().find(|(word, _)| *word == entry.state) {
            Some((_, names)) => names.push(&entry.name),
            None => words.push((&entry.state, vec![&entry.name])),
        }
    }
    let parts = words.into_iter().map(|(word, names)| match (word, names.len()) {
        ("unchanged", count) => format!("{count} unchanged"),
        (_, count) if count > NAMED => format!("{count} {word}"),
        _ => format!("{} {word}", names.join(", ")),
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "no pipelines".to_owned() } else { parts.join("; ") }
}

/// Counts entries by what an apply made of them.
pub(super) fn outcomes(entries: &[Entry]) -> String {
    let of = |entry: &Entry| match (entry.state.as_str(), entry.exit) {
        ("unchanged", Some(0) | None) => "unchanged",
        (_, Some(0) | None) => "done",
        (_, Some(_)) => "not done",
    };
    let entries = entries.iter().map(|entry| Entry { state: of(entry).to_owned(), ..entry.clone() });
    states(&entries.collect::<Vec<Entry>>())
}

/// Returns the time of day, UTC.
fn clock() -> String {
    let text = crate::base::plain_utc(now());
    text.get(11..19).unwrap_or_default().to_owned()
}

/// Returns how long it is until a moment.
fn wait(until: Timestamp) -> String {
    crate::report::duration(until.micros_since(now()))
}

fn now() -> Timestamp {
    crate::run::Clock::start(None).now()
}
