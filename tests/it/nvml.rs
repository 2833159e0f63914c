//! Graphics devices through NVML, from a driver library that never was: `tests/gpu/nvml.c`, compiled here.
//!
//! `./test` holds the same library against NVIDIA's own header and client (`tests/gpu/nvml_check.py`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, text};

const CHAT: &str = "\
version: 1
name: hello
limits: { concurrency: 2 }
actors:
  anna: { system: You are Anna., max_tokens: 40 }
items:
  values: [ { who: Bob }, { who: Cid }, { who: Dan }, { who: Eve } ]
steps:
  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }
  again: { chat: { actor: anna, prompt: \"Say it again: {{ steps.greet.text }}\" } }
";
const MIB: u64 = 1 << 20;

/// The folder of a library: of a driver of today, or of one that lacks what older ones lack.
fn library(age: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nvml-{}", std::process::id()));
        for (age, flags) in [("new", &["-O1"][..]), ("old", &["-O1", "-DOLD"])] {
            let here = folder.join(age);
            std::fs::create_dir_all(&here).expect("a folder");
            let mut cc = Command::new("cc");
            cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]).args(flags).arg("-o");
            cc.arg(here.join("libnvidia-ml.so.1"));
            cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/nvml.c"));
            let output = cc.output().expect("these tests need a C compiler, as Rust itself does");
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        folder
    });
    folder.join(age)
}

/// The command with a library that plays a scene.
fn pipe(project: &Project, scene: &str, arguments: &[&str]) -> Command {
    let mut pipe = project.pipe(arguments);
    pipe.env("LD_LIBRARY_PATH", library("new")).env("NVML_SCENE", scene).env("NVML_LOG", project.path("nvml.log"));
    pipe
}

fn output(mut command: Command) -> Output {
    let output = command.output().expect("pipe runs");
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn stdout(project: &Project, scene: &str, arguments: &[&str]) -> String {
    text(&output(pipe(project, scene, arguments)).stdout)
}

fn json(project: &Project, scene: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(project, scene, arguments)).expect("one JSON object")
}

/// Runs eight requests, two at a time, each of so many milliseconds; returns what `pipe gpu last --json` tells.
fn run(project: &Project, scene: &str, each_ms: &str) -> (Value, String) {
    let server = FaultServer::start_with(&["--delay-ms", each_ms].map(OsStr::new));
    project.write("hello.yaml", CHAT);
    let url = format!("{}/v1", server.url);
    let ran = output(pipe(project, scene, &["run", "hello.yaml", "--backend", &url, "--new"]));
    (json(project, "unloaded", &["gpu", "last", "--json"]), text(&ran.stderr))
}

/// The answers that the library gave about the first device: the counter, and the ring's percent.
fn told(project: &Project) -> (Vec<u64>, Vec<u64>) {
    let log = std::fs::read_to_string(project.path("nvml.log")).expect("the library writes it");
    let of = |what: &str, place: usize| {
        let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mine = lines.filter(|words| words[0] == what && words[1] == "0");
        mine.map(|words| words[place].parse().expect("a number")).collect()
    };
    (of("energy", 2), of("busy", 3))
}

/// The journal's readings of a column of pairs, for one device.
fn kept(project: &Project, column: &str) -> Vec<u64> {
    let query = format!("select {column} as pairs from gpu_samples order by at");
    let rows = project.stdout(&["journal", "sql", "last", &query, "--json"]);
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let pairs = rows.iter().filter_map(|row| row["pairs"].as_str());
    pairs
        .flat_map(|pairs| serde_json::from_str::<Vec<(i64, u64)>>(pairs).expect("pairs"))
        .map(|(_, value)| value)
        .collect()
}

fn number(device: &Value, key: &str) -> f64 {
    device[key].as_f64().unwrap_or_else(|| panic!("{key} in {device}"))
}

/// What is told to requests, to idling and to nobody adds up to the counter.
fn adds_up(device: &Value) {
    let parts = number(device, "idle_mj") + number(device, "unattributed_mj") + number(device, "requests_mj");
    assert!((parts - number(device, "millijoules")).abs() < 1.0, "{device}");
}

#[test]
fn what_the_driver_told_of_a_run_is_what_the_report_tells() {
    let project = Project::new();
    let (report, _) = run(&project, "shared", "1250");
    let device = &report["devices"][0];
    assert_eq!(device["name"], "NVIDIA GeForce RTX 4090");

    // The counter, as the library gave it: the first answer was the probe's.
    let (mut counter, busy) = told(&project);
    counter.remove(0);
    counter.dedup();
    assert_eq!(kept(&project, "energy"), counter);
    let used = counter.last().expect("it was asked") - counter[0];
    assert!(used > 200_000, "{counter:?}");
    let millijoules = f64::from(u32::try_from(used).expect("some hundred joules"));
    assert!((number(device, "millijoules") - millijoules).abs() < 1e-6, "{device} and {used}");
    adds_up(device);
    let calls = project.stdout(&["gpu", "last", "--calls"]);
    let calls: Vec<Value> = calls.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sum: f64 = calls.iter().map(|call| number(call, "energy_j")).sum();
    assert!((sum * 1e3 - number(device, "requests_mj")).abs() < 8.0, "{sum} of {device}");

    // The ring, each entry once, and the bursts that one look a second walks past.
    assert_eq!(kept(&project, "busy"), busy);
    assert!(busy.len() >= 20 && busy.contains(&100) && busy.contains(&0), "{busy:?}");
    assert!(number(device, "hidden_bursts") >= 1.0, "{device}");
    let share = number(device, "busy_s") / number(device, "known_s");
    assert!((0.15..0.35).contains(&share), "{share}: one entry in four");

    // Who was there: pipe itself stands for the server here, and whoever started it computed, too.
    let processes = device["processes"].as_object().expect("processes");
    let foreign = &processes[&std::process::id().to_string()];
    let name = std::fs::read_to_string("/proc/self/comm").expect("Linux");
    assert_eq!((&foreign["name"], &foreign["held"]), (&name.trim().into(), &(600 * MIB).into()));
    assert_eq!((&device["foreign"], &report["attribution"]["upper_bound"]), (&true.into(), &true.into()));
    assert!(processes.values().any(|process| process["name"] == "pipe" && process["held"] == 8_200 * MIB));
    assert_eq!((&device["celsius"], &device["memory"]), (&71.into(), &(9_000 * MIB).into()));
    assert!(number(&device["throttled_s"], "power") > 1.0, "{device}");

    let page = project.stdout(&["gpu", "last"]);
    let (foreign, missed) = (format!("{} ({}) held 600 MiB", std::process::id(), name.trim()), "and missed ");
    for part in [&foreign, missed, "an upper bound", "by power", "step again"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(project.stdout(&["trace", "last", "0"]).contains("\nGPU 0"));
    let curves = project.stdout(&["trace", "export", "last", "--format", "perfetto"]);
    assert!(curves.contains(r#""name":"GPU 0 busy""#), "{curves}");
    let spans = project.stdout(&["trace", "export", "last"]);
    assert!(spans.contains("pipe.gpu.window") && spans.contains("570.86.15"), "{spans}");
    project.stdout(&["journal", "check", "last"]);
}

#[test]
fn a_device_that_is_lost_midway_ends_its_samples_and_nothing_else() {
    let project = Project::new();
    let (report, _) = run(&project, "pair", "600");
    let [whole, lost] = &report["devices"].as_array().expect("devices")[..] else { panic!("{report}") };
    assert_eq!((&whole["lost"], &lost["name"]), (&Value::Null, &"NVIDIA T4".into()));
    assert!(lost["lost"].is_i64() && number(lost, "seconds") < number(whole, "seconds"), "{report}");
    adds_up(whole);
    adds_up(lost);
    assert!(project.stdout(&["gpu", "last"]).contains("nothing more is known of it"));
    // One that is lost from the start is shown as that, by a look as by a run.
    assert_eq!(json(&project, "gone", &["gpu", "--json"])["devices"][0]["lost"], true);
    let (report, _) = run(&project, "gone", "1");
    assert!(report["devices"][0]["lost"].is_i64(), "{report}");
}

#[test]
fn a_driver_that_hangs_holds_no_run_up() {
    let project = Project::new();
    let (report, _) = run(&project, "stuck", "600");
    assert_eq!((&report["requests"], &report["devices"][0]["lost"]), (&8.into(), &Value::Null));
    adds_up(&report["devices"][0]);
    let page = project.stdout(&["gpu", "last"]);
    assert!(page.contains("≥ "), "energy of a part of the time: {page}");
    project.stdout(&["journal", "check", "last"]);
}

#[test]
fn a_device_in_instances_tells_memory_of_each_and_no_energy() {
    let project = Project::new();
    let (report, _) = run(&project, "mig", "1");
    let devices = report["devices"].as_array().expect("devices");
    let memory: Vec<u64> = devices.iter().filter_map(|device| device["memory"].as_u64()).collect();
    assert_eq!(memory, [9_000 * MIB, 100 * MIB, 103 * MIB], "two of seven places are taken: {report}");
    assert!(devices.iter().all(|device| device["millijoules"].is_null() && device["mig"] == true), "{report}");
    assert!(report["attribution"]["coverage"].is_null(), "{report}");
    let page = stdout(&project, "mig", &["gpu"]);
    assert!(page.contains("  instance NVIDIA A100-SXM4-40GB MIG 1g.5gb  MIG-"), "{page}");
    assert!(doctor(&project, "mig")["devices"][0]["mig"] == true);
}

/// What `pipe doctor` says of devices; whether a model is here is not asked.
fn doctor(project: &Project, scene: &str) -> Value {
    let told = pipe(project, scene, &["doctor", "--json"]).output().expect("pipe runs");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    told["gpu"].clone()
}

#[test]
fn a_driver_that_is_there_and_fails_is_named_with_what_helps() {
    let project = Project::new();
    let scenes = [
        ("mismatch", "version_mismatch", "sudo rmmod"),
        ("unloaded", "driver_not_loaded", "modprobe"),
        ("barred", "no_permission", "/dev/nvidia"),
        ("no such scene", "unusable", "nvidia-smi"),
        ("empty", "no_device", "NVIDIA_VISIBLE_DEVICES"),
    ];
    for (scene, state, helps) in scenes {
        let told = json(&project, scene, &["gpu", "--json"]);
        assert_eq!((&told["available"], &told["state"]), (&false.into(), &state.into()), "{scene}");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains(helps)), "{told}");
        assert!(stdout(&project, scene, &["gpu"]).contains("what helps: "));
        if scene != "empty" {
            assert_eq!(doctor(&project, scene)["state"], state);
        }
    }
    let doctor = pipe(&project, "mismatch", &["doctor"]).output().expect("pipe runs");
    let doctor = text(&doctor.stdout).replace("\n            ", " ");
    assert!(doctor.contains("to do       devices: the driver was updated while the old one ran: reboot"), "{doctor}");

    // A run beside it goes on, and says so: who has a driver expects devices. Without a driver nobody does.
    let (report, says) = run(&project, "mismatch", "1");
    assert_eq!((&report["available"], &report["requests"]), (&false.into(), &Value::Null));
    let why = "NVIDIA's library and the driver in the kernel are of different versions";
    assert!(report["reason"].as_str().is_some_and(|reason| reason.starts_with(why)), "{report}");
    assert!(says.contains(why) && says.contains("`pipe gpu` says what helps"), "{says}");
    let (report, says) = run(&project, "unloaded", "1");
    assert!(report["reason"].is_string() && !says.contains("graphics device"), "{says}");
}

#[test]
fn a_device_that_tells_less_is_shown_with_what_it_tells() {
    let project = Project::new();
    let sampled = |scene: &str| {
        let told = json(&project, scene, &["gpu", "--json"]);
        let what = told["devices"][0]["sampled"].as_array().expect("a list").iter();
        what.filter_map(|what| what.as_str().map(str::to_owned)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(sampled("ordinary"), "energy busy power memory processes temperature throttling");
    assert_eq!(sampled("pascal"), "busy power memory processes temperature throttling");
    for scene in ["mute", "forbidden", "locked"] {
        assert_eq!(sampled(scene), "", "{scene}");
        let page = stdout(&project, scene, &["gpu"]);
        assert!(page.contains("nothing is told of it") && page.contains("\nGPU 0"), "{page}");
    }
    assert!(stdout(&project, "pascal", &["gpu"]).contains("no counter of energy is told"));
    assert!(stdout(&project, "moody", &["gpu"]).contains("no reading came of it just now"));
    assert_eq!(
        doctor(&project, "locked")["devices"][0]["trouble"],
        "the current user does not have permission to perform this operation"
    );
    let (report, _) = run(&project, "mute", "1");
    assert_eq!(
        (&report["devices"][0]["sampled"], &report["devices"][0]["seconds"]),
        (&Value::Array(Vec::new()), &0.0.into())
    );

    let mut old = project.pipe(&["gpu", "--json"]);
    old.env("LD_LIBRARY_PATH", library("old")).env("NVML_SCENE", "ordinary");
    let old: Value = serde_json::from_slice(&output(old).stdout).expect("JSON");
    let device = &old["devices"][0];
    assert_eq!(device["sampled"], serde_json::json!(["energy", "busy", "power", "temperature", "throttling"]));
    assert!(device["power_w"] == 107.5 && device["memory_bytes"].is_null(), "{old}");
}

#[test]
fn a_look_tells_who_holds_memory_and_what_the_environment_hides() {
    let project = Project::new();
    let mut look = pipe(&project, "ordinary", &["gpu", "--json"]);
    look.env("CUDA_VISIBLE_DEVICES", "0,1");
    let look: Value = serde_json::from_slice(&output(look).stdout).expect("JSON");
    assert_eq!((&look["cuda"], &look["cuda_visible_devices"]), (&"12.8".into(), &"0,1".into()));
    assert_eq!((&look["driver"], &look["source"]), (&"570.86.15".into(), &"nvml".into()));
    let device = &look["devices"][0];
    let total = &device["memory_total_bytes"];
    assert_eq!((total, &device["memory_bytes"]), (&(24_564 * MIB).into(), &(9_000 * MIB).into()));
    let foreign = &device["processes"][1];
    assert_eq!((&foreign["pid"], &foreign["bytes"]), (&std::process::id().into(), &(600 * MIB).into()));
    let mut hidden = pipe(&project, "ordinary", &["gpu"]);
    let hidden = text(
        &output({
            hidden.env("CUDA_VISIBLE_DEVICES", "");
            hidden
        })
        .stdout,
    );
    assert!(hidden.contains("CUDA_VISIBLE_DEVICES is empty: none is used"), "{hidden}");
    // A list that grew between two questions is asked for again; a long one is cut.
    let crowd = stdout(&project, "crowded", &["gpu"]);
    assert!(crowd.contains("process 4000002 holds memory") && crowd.contains("and 2 more processes"), "{crowd}");
    let log = std::fs::read_to_string(project.path("nvml.log")).expect("the library writes it");
    assert!(log.lines().any(|line| line == "users 0 7"), "the library refused once: {log}");
}
