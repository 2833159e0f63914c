//! Which addresses a base URL stands for.

use super::*;

fn check(text: &str, expected: &str) {
    let got = match BaseUrl::parse(text) {
        Ok(url) => format!("{url} | {} | {}", url.api("/models", Features::NONE), url.beside("/props")),
        Err(error) => error.to_string(),
    };
    assert_eq!(got, expected, "{text:?}");
}

/// Says where calls go: without knowledge, without the first path, without both.
fn calls(text: &str) -> [String; 3] {
    let url = BaseUrl::parse(text).unwrap();
    let both = Features::NONE.with(Feature::VersionedPath).with(Feature::PlainPath);
    let first = url.path_in_use(Features::NONE).map_or(Features::NONE, |path| Features::NONE.with(path));
    [Features::NONE, first, both].map(|lacks| url.api("/chat/completions", lacks).to_string())
}

#[test]
fn reads_base_urls_with_and_without_a_version() {
    check("http://h:1", "http://h:1/v1 | http://h:1/v1/models | http://h:1/props");
    check("http://h:1/v1/", "http://h:1/v1 | http://h:1/v1/models | http://h:1/props");
    check("https://h/api", "https://h/api/v1 | https://h/api/v1/models | https://h/api/props");
    check("https://h/api/v4", "https://h/api/v4 | https://h/api/v4/models | https://h/api/props");
    check(
        "https://h/v1beta/openai",
        "https://h/v1beta/openai | https://h/v1beta/openai/models | https://h/v1beta/openai/props",
    );
    check("http://[::1]:8080", "http://[::1]:8080/v1 | http://[::1]:8080/v1/models | http://[::1]:8080/props");
}

#[test]
fn a_path_without_a_version_is_tried_in_both_ways_and_one_with_a_version_is_not() {
    let (plain, versioned) = ("http://h/x/chat/completions", "http://h/x/v1/chat/completions");
    assert_eq!(calls("http://h/x"), [versioned, plain, versioned]);
    assert_eq!(calls("http://h/x/chat/completions"), [plain, versioned, plain]);
    let (plain, versioned) = ("http://h/chat/completions", "http://h/v1/chat/completions");
    assert_eq!(calls("http://h"), [versioned, plain, versioned]);
    assert_eq!(calls("http://h/v1"), [versioned; 3]);
    let url = BaseUrl::parse("http://h/x").unwrap();
    let unlisted = |text: &str| BaseUrl::parse(text).unwrap().unlisted().to_string();
    assert_eq!(unlisted("http://h/x"), "http://h/x");
    assert_eq!((unlisted("http://h"), unlisted("http://h/v1")), ("http://h/v1".to_owned(), "http://h/v1".to_owned()));
    let settled = url.settled(Features::NONE.with(Feature::VersionedPath));
    assert_eq!((settled.to_string().as_str(), settled.path_in_use(Features::NONE)), ("http://h/x", None));
}

#[test]
fn a_query_is_sent_with_every_call_and_its_secrets_are_not_shown() {
    let text = "http://h/openai/deployments/gpt4o?api-version=2024-10-21&api-key=hunter22";
    let url = BaseUrl::parse(text).unwrap();
    assert_eq!(
        url.api("/chat/completions", Features::NONE).to_string(),
        "http://h/openai/deployments/gpt4o/v1/chat/completions?api-version=2024-10-21&api-key=hunter22"
    );
    assert_eq!(url.beside("/props").to_string(), "http://h/openai/deployments/gpt4o/props");
    assert_eq!(
        url.clone().unlisted().to_string(),
        "http://h/openai/deployments/gpt4o?api-version=2024-10-21&api-key=***"
    );
    assert_eq!(url.short(), "http://h/openai/deployments/gpt4o");
    assert_eq!(url.secrets(), [Arc::from("hunter22")]);
    let again = BaseUrl::parse(&url.with_secrets()).unwrap();
    assert_eq!(again.api("/models", Features::NONE), url.api("/models", Features::NONE));
}

#[test]
fn a_pasted_endpoint_is_taken_off() {
    for endpoint in ENDPOINTS {
        check(&format!("http://h/v1{endpoint}"), "http://h/v1 | http://h/v1/models | http://h/props");
        check(&format!("http://h/x{endpoint}/"), "http://h/x | http://h/x/models | http://h/x/props");
    }
    check("http://h/chat/completions", "http://h | http://h/models | http://h/props");
    check("http://h/v1/chat/completions?a=b#c", "http://h/v1?a=b | http://h/v1/models?a=b | http://h/props");
}

#[test]
fn a_missing_page_is_about_the_path_while_another_one_is_possible() {
    let lacks = |features: &[Feature]| features.iter().copied().collect::<Features>();
    let judged = |text: &str, status: u16, kind: FailureKind, features: &[Feature]| {
        let failure = Failure { status: Some(status), ..Failure::new(kind, "404") };
        BaseUrl::parse(text).unwrap().judge(failure, lacks(features)).kind
    };
    let (plain, versioned) = (Feature::PlainPath, Feature::VersionedPath);
    let refused = FailureKind::Refused;
    assert_eq!(judged("http://h", 404, refused, &[]), FailureKind::Unsupported(versioned));
    assert_eq!(judged("http://h", 404, refused, &[versioned]), FailureKind::Unsupported(plain));
    assert_eq!(judged("http://h", 404, refused, &[versioned, plain]), refused);
    assert_eq!(judged("http://h/x/models", 405, refused, &[]), FailureKind::Unsupported(plain));
    assert_eq!(judged("http://h/v1", 404, refused, &[]), refused);
    assert_eq!(judged("http://h", 400, refused, &[]), refused);
    assert_eq!(judged("http://h", 404, FailureKind::ModelMissing, &[]), FailureKind::ModelMissing);
}

#[test]
fn refuses_what_is_no_base_url_and_repeats_no_password() {
    check(
        "localhost:8080/v1",
        r#""localhost:8080/v1" is not a base URL; write one such as "http://127.0.0.1:8080/v1""#,
    );
    check("ftp://h/v1", r#""ftp://h/v1" is neither http nor https; write one such as "http://127.0.0.1:8080/v1""#);
    check(
        "http://me:hunter2@h/v1",
        r#"the base URL of "h" holds a user name or password; put the key under `api_key` instead"#,
    );
    for broken in ["http://me:hunter 2@h", "localhost?key=hunter2", "ftp://h?key=hunter2"] {
        let error = BaseUrl::parse(broken).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{error}");
    }
}

#[test]
fn knows_this_machine() {
    for (host, expected) in [
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("[::1]", true),
        ("LocalHost", true),
        ("a.localhost", true),
        ("10.0.0.1", false),
        ("localhost.example", false),
    ] {
        assert_eq!(is_loopback(host), expected, "{host}");
    }
}
