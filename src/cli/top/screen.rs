//! The terminal: draws pages, hears keys. Blocks its thread until someone leaves.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::text::Text;

use super::command::now;
use super::follow::Followed;
use super::page::{View, count_of_cases, page};
use crate::cli::exit::CommandError;
use crate::journal::{Home, Order, RunDir};
use crate::report::RunStatus;

/// How long a frame may read the journal; keys are heard in between.
const READING: Duration = Duration::from_millis(100);
/// How often a page is drawn while nothing is pressed.
const FRAME: Duration = Duration::from_millis(250);
/// How long an answer to a key stands.
const NOTE: Duration = Duration::from_secs(4);

const KEYS: &str = "q quit  p pause  s stop  enter cases  tab next run";
const KEYS_OF_PAUSED: &str = "q quit  p go on  s stop  enter cases  tab next run";
const KEYS_OF_CASES: &str = "q quit  p pause  s stop  enter talk  ↑↓ move  tab next run";
const KEYS_OF_OLD: &str = "q quit  enter cases  tab next run";

/// What is on the screen besides the run.
struct Screen {
    home: Home,
    run: Followed,
    place: Option<(usize, usize)>,
    cases_from: Option<usize>,
    asks_to_stop: bool,
    note: Option<(Instant, String)>,
}

/// Shows runs until someone leaves, or `leave` is set.
///
/// # Errors
/// The terminal cannot be used, or a journal not be read. The terminal is left as it was found.
pub(super) fn show(home: &Home, dir: RunDir, leave: &AtomicBool) -> Result<(), CommandError> {
    let run = Followed::open(dir)?;
    let mut screen =
        Screen { home: home.clone(), run, place: None, cases_from: None, asks_to_stop: false, note: None };
    screen.find_place();
    let mut terminal = ratatui::try_init()?;
    let shown = screen.work(&mut terminal, leave);
    ratatui::try_restore()?;
    shown
}

impl Screen {
    fn work(&mut self, terminal: &mut DefaultTerminal, leave: &AtomicBool) -> Result<(), CommandError> {
        while !leave.load(Ordering::Relaxed) {
            self.run.read(READING)?;
            self.draw(terminal)?;
            let wait = if self.run.is_up_to_date { FRAME } else { Duration::ZERO };
            if !event::poll(wait)? {
                continue;
            }
            let Event::Key(key) = event::read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            if is_interrupt || self.press(key.code) {
                break;
            }
        }
        Ok(())
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        let view = View {
            run: &self.run.dir.id,
            place: self.place,
            watch: &self.run.watch,
            status: self.run.status(),
            now: self.run.moment(now()),
            texts: &|case, digest| self.run.text(case, digest),
            cases_from: self.cases_from,
            footer: Some(self.footer()),
            is_up_to_date: self.run.is_up_to_date,
        };
        terminal.draw(|frame| {
            let area = frame.area();
            let lines = page(&view, usize::from(area.width), usize::from(area.height));
            frame.render_widget(Text::from(lines), area);
        })?;
        Ok(())
    }

    fn footer(&self) -> String {
        if self.asks_to_stop {
            return "stop this run? calls in flight may end, `pipe resume` goes on later  y yes  n no".to_owned();
        }
        if let Some((_, note)) = self.note.as_ref().filter(|(since, _)| since.elapsed() < NOTE) {
            return note.clone();
        }
        match (self.run.status(), self.cases_from) {
            (RunStatus::Paused, _) => KEYS_OF_PAUSED.to_owned(),
            (RunStatus::Running, Some(_)) => KEYS_OF_CASES.to_owned(),
            (RunStatus::Running, None) => KEYS.to_owned(),
            _ => KEYS_OF_OLD.to_owned(),
        }
    }

    /// Does what a key asks for; true is to leave.
    fn press(&mut self, key: KeyCode) -> bool {
        if self.asks_to_stop {
            self.asks_to_stop = false;
            if matches!(key, KeyCode::Char('y' | 'Y')) {
                self.order(&Order::Stop, "asked to stop");
            }
            return false;
        }
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('p') if self.run.status() == RunStatus::Paused => {
                self.order(&Order::Unpause, "asked to go on");
            }
            KeyCode::Char('p') => self.order(&Order::Pause, "asked to pause: calls in flight may end"),
            KeyCode::Char('s') if self.run.is_live() => self.asks_to_stop = true,
            KeyCode::Char('s') => self.tell("nobody works on this run: nothing to stop"),
            KeyCode::Enter => self.cases_from = if self.cases_from.is_some() { None } else { Some(0) },
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            KeyCode::PageUp => self.move_by(-10),
            KeyCode::PageDown => self.move_by(10),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(-1),
            _ => {}
        }
        false
    }

    fn move_by(&mut self, rows: isize) {
        let last = count_of_cases(&self.run.watch).saturating_sub(1);
        if let Some(from) = self.cases_from {
            self.cases_from = Some(from.saturating_add_signed(rows).min(last));
        }
    }

    fn order(&mut self, order: &Order, asked: &str) {
        let note = match self.run.is_live() {
            false => "nobody works on this run".to_owned(),
            true => match self.run.dir.spool().post(order, now()) {
                Ok(_) => asked.to_owned(),
                Err(error) => format!("the run takes no orders: {error}"),
            },
        };
        self.tell(&note);
    }

    fn tell(&mut self, note: &str) {
        self.note = Some((Instant::now(), note.to_owned()));
    }

    /// Goes to another run, in the order of `pipe runs`.
    fn turn(&mut self, by: isize) {
        let Ok(runs) = self.home.runs() else { return };
        let Some(place) = runs.iter().position(|run| run.id == self.run.dir.id) else { return };
        let count = isize::try_from(runs.len()).unwrap_or(isize::MAX);
        let next = (isize::try_from(place).unwrap_or(0) + by).rem_euclid(count);
        let Some(dir) = usize::try_from(next).ok().and_then(|next| runs.into_iter().nth(next)) else { return };
        let id = dir.id.clone();
        match Followed::open(dir) {
            Ok(run) => self.run = run,
            Err(error) => self.tell(&format!("{id} cannot be read: {error}")),
        }
        self.cases_from = self.cases_from.map(|_| 0);
        self.find_place();
    }

    fn find_place(&mut self) {
        let runs = self.home.runs().unwrap_or_default();
        let place = runs.iter().position(|run| run.id == self.run.dir.id);
        self.place = place.filter(|_| runs.len() > 1).map(|place| (place + 1, runs.len()));
    }
}
