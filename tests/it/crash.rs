//! `kill -9` is a supported way to stop: whatever moment it comes at, a resume reaches the same end.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::project::{Project, python, text};

/// Ten times faster than life, eight calls at once: some six seconds undisturbed, with calls of a tenth of a second, so
/// that kills hit all of the run and each process gets something done.
const MONTE_CARLO: &[&str] =
    &["run", "pipelines/monte_carlo.yaml", "--backend", "sim:10", "--concurrency", "8", "--quiet", "--new"];
const KILLS: u32 = 20;

/// `SplitMix64` (Steele, Lea, Flood, 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn twenty_kills_at_random_moments_end_like_an_undisturbed_run() {
    let calm = Project::with_pipelines();
    calm.stdout(&[MONTE_CARLO, &["--out", "rows.jsonl"]].concat());
    let expected = fs::read(calm.path("rows.jsonl")).expect("rows were written");
    assert_eq!(text(&expected).lines().count(), 200);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = std::env::var("PIPE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut state = seed.unwrap_or(u64::try_from(now.as_micros()).expect("fits"));
    eprintln!("PIPE_TEST_SEED={state}");
    let project = Project::with_pipelines();
    let mut kills = 0;
    let mut begun = false;
    while kills < KILLS {
        let arguments: &[&str] =
            if !begun { &[MONTE_CARLO, &["--out", "rows.jsonl"]].concat() } else { &["resume", "--quiet"] };
        let mut child = project.pipe(arguments).stderr(Stdio::piped()).spawn().expect("pipe starts");
        std::thread::sleep(Duration::from_millis(20 + draw(&mut state) % 260));
        if let Some(status) = child.try_wait().expect("its state is known") {
            let output = child.wait_with_output().expect("read");
            panic!("the run ended after {kills} kills, too early for a campaign: {status} {}", text(&output.stderr));
        }
        child.kill().expect("killed");
        child.wait().expect("waited for");
        kills += 1;
        begun = begun || project.path(".pipe/runs").is_dir() && first_event(&project);
    }
    let last = project.run(&["resume", "--quiet"]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    let rows = fs::read(project.path("rows.jsonl")).expect("rows were written");
    assert_eq!(text(&rows), text(&expected));

    let audit = python("python3", "tests/audit/audit.py").arg(project.run_folder()).output().expect("the audit runs");
    assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
}

/// True when a run has been begun that a resume can take up; a folder without one is left by a kill before that.
fn first_event(project: &Project) -> bool {
    let begun = project.run(&["runs", "--json"]);
    let is_begun = text(&begun.stdout).lines().any(|line| line.contains("\"monte_carlo\""));
    if !is_begun {
        drop(fs::remove_dir_all(project.path(".pipe/runs")));
    }
    is_begun
}
