//! Graphics devices beside a run, from recordings: this is the only way to have one everywhere.

use std::ffi::OsStr;
use std::process::Output;

use serde_json::Value;

use crate::backend_faults::FaultServer;
use crate::project::{Project, text};

const CHAT: &str = "\
version: 1
name: hello
actors:
  anna: { system: You are Anna., max_tokens: 40 }
items:
  values: [ { who: Bob }, { who: Cid }, { who: Dan }, { who: Eve } ]
repeat: 2
steps:
  greet: { chat: { actor: anna, prompt: \"Greet {{ item.who }}.\" } }
  again: { chat: { actor: anna, prompt: \"Say it again: {{ steps.greet.text }}\" } }
";

/// Eight requests of one model, then one of another.
const SWITCH: &str = "\
version: 1
name: sweep
backends: { here: { base_url: \"URL/v1\" } }
limits: { concurrency: 1 }
actors:
  one: { model: big }
  two: { model: small }
items:
  values: [ { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }, { n: 5 }, { n: 6 }, { n: 7 }, { n: 8 } ]
steps:
  ask: { chat: { actor: one, prompt: \"Number {{ item.n }}.\" } }
  sum: { aggregate: { of: ask, by: chat, actor: two, prompt: \"Sum up {{ count }} texts.\" } }
";

const L4: &str = r#"{"gpu":0,"id":"GPU-a","name":"NVIDIA L4","memory_mib":23034}"#;

/// A device that computes always and uses 60 W, for a second, again and again; `lines` come before its readings.
fn recording(devices: &[&str], lines: &[&str]) -> String {
    let mut all = vec![r#"{"replay":1,"driver":"550.54.15","loop_ms":1000}"#.to_owned()];
    all.extend(devices.iter().map(|line| (*line).to_owned()));
    for ms in (0..=1_000).step_by(50) {
        all.extend(
            lines.iter().filter(|line| line.starts_with(&format!("{{\"ms\":{ms},"))).map(|line| (*line).to_owned()),
        );
        all.push(format!(r#"{{"ms":{ms},"gpu":0,"energy_mj":{},"busy":90,"memory_mib":9000}}"#, 5_000 + ms * 60));
    }
    all.join("\n")
}

/// Runs a pipeline beside a recording.
fn run(project: &Project, recording: &str, more: &[&str]) -> Output {
    project.write("hello.yaml", CHAT);
    project.write("devices.jsonl", recording);
    let arguments = ["run", "hello.yaml", "--backend", "sim:5", "--new", "--quiet"];
    let mut pipe = project.pipe(&[&arguments[..], more].concat());
    pipe.env("PIPE_GPU_SOURCE", "replay:devices.jsonl").output().expect("pipe runs")
}

fn json(project: &Project, arguments: &[&str]) -> Value {
    serde_json::from_str(&project.stdout(arguments)).expect("one JSON object")
}

/// Returns the joules that spans of requests say, of an export.
fn joules_of_spans(export: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for line in export.lines().filter(|line| line.contains("pipe.gpu.attribution.method")) {
        let told: Value = serde_json::from_str(line).expect("JSON");
        for spans in told["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans") {
            let attributes = spans["attributes"].as_array().expect("attributes");
            let get = |key: &str| attributes.iter().find(|one| one["key"] == key).map(|one| &one["value"]);
            if get("pipe.gpu.attribution.method").is_some() {
                found.push(
                    get("pipe.gpu.energy_j").and_then(|value| value["doubleValue"].as_f64()).expect("a number"),
                );
            }
        }
    }
    found
}

#[test]
fn a_run_tells_what_its_devices_did_and_whose_the_energy_is() {
    let project = Project::new();
    let user = r#"{"ms":0,"gpu":0,"users":[[4242,9000,93]],"celsius":61,"throttled":["power"]}"#;
    let output = run(&project, &recording(&[L4], &[user]), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    let told = json(&project, &["gpu", "last", "--json"]);
    let device = &told["devices"][0];
    let number = |key: &str| device[key].as_f64().unwrap_or_else(|| panic!("{key} in {device}"));
    assert!(number("millijoules") > 5_000.0, "{device}");
    let parts = number("idle_mj") + number("unattributed_mj") + number("requests_mj");
    assert!((parts - number("millijoules")).abs() < 1.0, "{device}");
    assert!(number("flight_busy_s") > 0.5 * number("flight_s"), "{device}");
    assert_eq!((&device["celsius"], &device["processes"]["4242"]["held"]), (&61.into(), &(9_000_u64 << 20).into()));
    assert!(device["throttled_s"]["power"].as_f64().is_some_and(|seconds| seconds > 0.0), "{device}");
    assert_eq!((&told["requests"], &told["cpu_fallback_suspected"]), (&16.into(), &Value::Null));
    let steps: Vec<&str> =
        told["steps"].as_array().unwrap().iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(steps, ["again", "greet"]);

    let calls = project.stdout(&["gpu", "last", "--calls"]);
    let calls: Vec<Value> = calls.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(calls.len(), 16);
    let sum: f64 = calls.iter().filter_map(|call| call["energy_j"].as_f64()).sum();
    assert!((sum * 1e3 - number("requests_mj")).abs() < 16.0, "{sum} of {device}");
    assert!(calls.iter().all(|call| call["attribution"] == "share-v1" && call["by"] == "tokens"), "{calls:?}");

    let page = project.stdout(&["gpu", "last"]);
    for part in [
        "was the GPU working?",
        "NVIDIA L4",
        "of the time in which requests were in flight",
        "by power",
        "step again",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // In the trace of the run, on the axis of a case, and as curves.
    let spans = project.stdout(&["trace", "export", "last"]);
    assert!(spans.contains("\"pipe.gpu.window\"") && spans.contains("hw.gpu.sample"), "{spans}");
    assert!(spans.contains(r#"{"key":"pipe.gpu.available","value":{"boolValue":true}}"#), "{spans}");
    assert_eq!(spans, project.stdout(&["trace", "export", "last"]), "told again, told the same");
    let told = joules_of_spans(&spans);
    assert_eq!(told.len(), 16);
    // A run of a second has no ten quiet ones: the report, too, knows nothing of an idle device.
    assert!((told.iter().sum::<f64>() - sum).abs() < 0.016, "{told:?} of {sum}");
    let drawn = project.stdout(&["trace", "last", "0"]);
    assert!(drawn.contains("\nGPU 0") && drawn.contains("J a request's part"), "{drawn}");
    // Each request of a case has the joules that the report gives it, the case those of all its requests.
    let told: Value = serde_json::from_str(&project.stdout(&["trace", "last", "0", "--json"])).expect("JSON");
    let energies = |sort: &str| -> Vec<f64> {
        let rows = told["cases"][0]["rows"].as_array().unwrap().iter().filter(|row| row["sort"] == sort);
        rows.map(|row| row["energy_j"].as_f64().expect("a number")).collect()
    };
    let of_case = calls.iter().filter(|call| call["case"] == 0).map(|call| call["energy_j"].as_f64().unwrap());
    let of_case: Vec<f64> = of_case.collect();
    assert_eq!((energies("request"), of_case.len()), (of_case.clone(), 2));
    let whole = energies("whole");
    assert!((whole[0] - of_case.iter().sum::<f64>()).abs() < 0.002, "{whole:?} of {of_case:?}");
    let told: Value = serde_json::from_str(&project.stdout(&["trace", "last", "--json"])).expect("JSON");
    let slowest = told["slowest"].as_array().unwrap().iter().find(|case| case["case"] == 0).expect("one of eight");
    assert_eq!(slowest["energy_j"].as_f64(), Some(whole[0]), "{told}");
    let curves = project.stdout(&["trace", "export", "last", "--format", "perfetto"]);
    assert!(curves.contains(r#""name":"devices""#) && curves.contains(r#""name":"GPU 0 busy""#), "{curves}");
    // The journal is as sound with samples as without.
    project.stdout(&["journal", "check", "last"]);
    let rows = project.stdout(&["journal", "sql", "last", "select count(*) > 0 as n from gpu_samples", "--json"]);
    assert!(rows.contains('1'), "{rows}");
}

#[test]
fn what_an_ollama_tells_of_a_model_beside_its_device_is_kept_and_named() {
    let project = Project::new();
    let server = FaultServer::start_with(&["--vram", "2504895577"].map(OsStr::new));
    project.write("hello.yaml", CHAT);
    project.write("devices.jsonl", &recording(&[L4], &[]));
    let url = format!("{}/v1", server.url);
    let mut pipe = project.pipe(&["run", "hello.yaml", "--backend", &url, "--new", "--quiet"]);
    let output = pipe.env("PIPE_GPU_SOURCE", "replay:devices.jsonl").output().expect("pipe runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let says = "38 % of fault-model is in GPU memory: the rest computes on the CPU";
    let told = json(&project, &["gpu", "last", "--json"]);
    assert!(told["cpu_fallback_suspected"][0].as_str().is_some_and(|reason| reason.ends_with(says)), "{told}");
    assert!(project.stdout(&["gpu", "last"]).contains(says));
    // Without samples too.
    let quiet = ["run", "hello.yaml", "--backend", &url, "--new", "--gpu", "off", "--quiet", "--json"];
    project.stdout(&quiet);
    let told = project.stdout(&["gpu", "last"]);
    assert!(told.contains("has no samples of graphics devices") && told.contains(says), "{told}");
    // One that has it in memory already tells before anything is asked.
    let loaded = FaultServer::start_with(&["--vram", "0", "--loaded"].map(OsStr::new));
    let url = format!("{}/v1", loaded.url);
    project.stdout(&["run", "hello.yaml", "--backend", &url, "--new", "--gpu", "off", "--quiet", "--json"]);
    let told = json(&project, &["gpu", "last", "--json"]);
    assert_eq!(
        told["cpu_fallback_suspected"],
        serde_json::json!(["the server told: nothing of fault-model is in GPU memory: it computes on the CPU"])
    );
    let all = FaultServer::start_with(&["--vram", "6591830464"].map(OsStr::new));
    project.stdout(&["run", "hello.yaml", "--backend", &format!("{}/v1", all.url), "--new", "--quiet"]);
    assert_eq!(json(&project, &["gpu", "last", "--json"])["cpu_fallback_suspected"], Value::Null);
}

#[test]
fn what_a_switch_of_model_took_more_than_usual_is_told_with_and_without_a_device() {
    let project = Project::new();
    let server = FaultServer::start_with(&["--model", "big,small", "--load-ms", "1500"].map(OsStr::new));
    project.write("sweep.yaml", &SWITCH.replace("URL", &server.url));
    project.stdout(&["run", "sweep.yaml", "--new", "--quiet"]);
    let told = json(&project, &["gpu", "last", "--json"]);
    let each = told["switches"]["each"].as_array().unwrap_or_else(|| panic!("{told}"));
    let [first, second] = &each[..] else { panic!("{told}") };
    assert_eq!((&first["from"], &first["to"], &second["from"]), (&Value::Null, &"big".into(), &"big".into()));
    assert!(first["loading_s"].as_f64().is_some_and(|seconds| seconds > 1.0), "{told}");
    // The second may have been sent while the answer to the first was on its way: then it is none to compare with.
    assert!(first["usual_requests"].as_u64().is_some_and(|requests| requests >= 6), "{told}");
    assert_eq!(first["behind_others_s"], 0.0);
    // One request of a model is nothing to compare with.
    assert_eq!((&second["usual_requests"], &second["loading_s"]), (&0.into(), &Value::Null));
    let page = project.stdout(&["gpu", "last"]);
    assert!(page.contains("big, the first") && page.contains("of 1 nobody can tell"), "{page}");
}

#[test]
fn without_a_driver_a_run_is_as_it_was_and_says_why_when_asked() {
    let project = Project::new();
    let output = run(&project, r#"{"replay":1,"unavailable":"no NVIDIA driver: libnvidia-ml.so.1"}"#, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = project.stdout(&["gpu", "last"]);
    assert!(told.contains("no samples of graphics devices: no NVIDIA driver: libnvidia-ml.so.1"), "{told}");
    let spans = project.stdout(&["trace", "export", "last"]);
    assert!(spans.contains(r#"{"key":"pipe.gpu.available","value":{"boolValue":false}}"#), "{spans}");
    assert!(spans.contains("no NVIDIA driver: libnvidia-ml.so.1") && !spans.contains("pipe.gpu.window"), "{spans}");
    let told = json(&project, &["gpu", "last", "--json"]);
    assert_eq!((&told["available"], told["devices"].as_array().map(Vec::len)), (&false.into(), Some(0)));
    // And here, now.
    let mut here = project.pipe(&["gpu", "--json"]);
    let output = here.env("PIPE_GPU_SOURCE", "replay:devices.jsonl").output().expect("pipe runs");
    let told: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    assert_eq!((output.status.code(), &told["available"]), (Some(0), &false.into()));
}

#[test]
fn what_is_not_wanted_or_not_here_is_not_sampled() {
    let project = Project::new();
    assert_eq!(run(&project, &recording(&[L4], &[]), &["--gpu", "off"]).status.code(), Some(0));
    assert_eq!(json(&project, &["gpu", "last", "--json"])["available"], false);
    // A simulated backend has no device, here or anywhere.
    project.stdout(&["run", "hello.yaml", "--backend", "sim", "--new", "--quiet"]);
    let told = project.stdout(&["gpu", "last"]);
    assert!(told.contains("none of its models was served on this machine"), "{told}");
}

#[test]
fn a_device_in_instances_tells_its_memory_alone() {
    let project = Project::new();
    let whole = r#"{"gpu":0,"id":"GPU-a","name":"NVIDIA H100","memory_mib":81559,"mig":true}"#;
    let part =
        r#"{"gpu":1,"id":"MIG-b","name":"NVIDIA H100 MIG 1g.10gb","memory_mib":9728,"mig":true,"parent":"GPU-a"}"#;
    let held = r#"{"ms":0,"gpu":1,"memory_mib":512}"#;
    let output = run(&project, &recording(&[whole, part], &[held]), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = json(&project, &["gpu", "last", "--json"]);
    assert_eq!(told["devices"][0]["millijoules"], Value::Null);
    assert_eq!((&told["devices"][1]["mig"], &told["devices"][1]["memory"]), (&true.into(), &(512_u64 << 20).into()));
    assert_eq!(told["attribution"]["coverage"], Value::Null);
}

#[test]
fn a_device_that_is_lost_takes_no_run_with_it() {
    let project = Project::new();
    let lost = r#"{"ms":150,"gpu":0,"lost":true}"#;
    let output = run(&project, &recording(&[L4], &[lost]), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = json(&project, &["gpu", "last", "--json"]);
    assert!(told["devices"][0]["lost"].is_i64(), "{told}");
    assert!(project.stdout(&["gpu", "last"]).contains("nothing more is known of it"));
}

#[test]
fn a_device_of_amd_is_looked_at_and_tells_no_request_its_energy() {
    let project = Project::new();
    let files = [
        ("vendor", "0x1002"),
        ("gpu_busy_percent", "97"),
        ("mem_info_vram_total", "17163091968"),
        ("mem_info_vram_used", "9663676416"),
        ("uevent", "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0"),
        ("hwmon/hwmon2/power1_average", "213000000"),
        ("hwmon/hwmon2/temp1_input", "66000"),
    ];
    for (name, says) in files {
        let path = project.path("drm/card1/device").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, format!("{says}\n")).expect("written");
    }
    project.write("hello.yaml", CHAT);
    let amd = |arguments: &[&str]| {
        let mut pipe = project.pipe(arguments);
        text(&pipe.env("PIPE_GPU_SOURCE", "sysfs:drm").output().expect("pipe runs").stdout)
    };
    let told: Value = serde_json::from_str(&amd(&["gpu", "--json"])).expect("JSON");
    let device = &told["devices"][0];
    assert_eq!((&told["source"], &device["id"]), (&"sysfs".into(), &"AMD-0000:03:00.0".into()));
    assert_eq!(
        (&device["busy_percent"], &device["power_w"], &device["celsius"]),
        (&97.into(), &213.0.into(), &66.into())
    );
    assert_eq!(device["sampled"], serde_json::json!(["busy", "power", "memory", "temperature"]));
    let page = amd(&["gpu"]);
    for part in [
        "AMD driver amdgpu of Linux",
        "GPU 0 AMD device 1002:744C",
        "97 % busy  213 W  66 °C",
        "no request is told its energy",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let doctor: Value = serde_json::from_str(&amd(&["doctor", "--json"])).expect("JSON");
    assert_eq!((&doctor["gpu"]["state"], &doctor["gpu"]["devices"][0]["used_mib"]), (&"found".into(), &9_216.into()));
    assert!(amd(&["doctor"]).contains("AMD driver amdgpu of Linux"));

    amd(&["run", "hello.yaml", "--backend", "sim:5", "--new", "--quiet"]);
    let told = json(&project, &["gpu", "last", "--json"]);
    let device = &told["devices"][0];
    assert_eq!(
        (&told["requests"], &device["millijoules"], &device["polled"]),
        (&16.into(), &Value::Null, &true.into())
    );
    assert!(device["busy_s"].as_f64().is_some_and(|seconds| seconds > 0.0), "{device}");
    assert_eq!(told["attribution"]["coverage"], Value::Null);
    let page = project.stdout(&["gpu", "last"]);
    assert!(page.contains("looked at ten times a second") && page.contains("no counter of energy"), "{page}");
    let spans = project.stdout(&["trace", "export", "last"]);
    assert!(spans.contains(r#"{"key":"hw.vendor","value":{"stringValue":"AMD"}}"#), "{spans}");
}
