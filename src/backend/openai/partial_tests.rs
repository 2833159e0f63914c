//! When an answer is over: what its reasons to end are worth.

use super::partial::{Last, Partial};
use super::refusal::Asked;
use crate::backend::contract::request;
use crate::backend::http::Scrub;
use crate::event::FailureKind;

/// Takes chunks, each a text and a reason, and calls `look` after each.
fn take(chunks: &[(&str, &str)], look: &mut dyn FnMut(&Partial<'_>), last: Last) -> Result<String, FailureKind> {
    let (request, scrub) = (request("m"), Scrub::default());
    let asked = Asked { request: &request, body: b"{}", scrub: &scrub };
    let mut answer = Partial::new(asked, &|_| {}, false);
    for (text, reason) in chunks {
        let chunk = serde_json::json!({"choices": [{"delta": {"content": text}, "finish_reason": reason}]});
        answer.take(chunk.to_string().as_bytes(), false).expect("a good chunk");
        look(&answer);
    }
    let completed = answer.complete(last);
    completed.map(|(completion, _)| completion.text).map_err(|spoilt| spoilt.failure.kind)
}

/// Returns the seconds that the rest may take after each chunk; none while there is no end.
fn tails(chunks: &[(&str, &str)]) -> Vec<Option<u64>> {
    let mut tails = Vec::new();
    take(chunks, &mut |answer| tails.push(answer.tail().map(|tail| tail.as_secs())), Last::Said).ok();
    tails
}

#[test]
fn an_end_is_over_within_seconds_and_one_beside_text_a_little_later() {
    assert_eq!(tails(&[("a", "null"), ("", "stop")]), [None, Some(2)]);
    assert_eq!(tails(&[("a", "stop")]), [Some(8)]);
    // Text has followed: the next one beside text ends nothing, one alone does.
    assert_eq!(tails(&[("a", "stop"), ("b", "stop"), ("", "stop")]), [Some(8), None, Some(2)]);
    assert_eq!(tails(&[("a", ""), ("", "stop"), ("b", ""), ("", "stop")]), [None, Some(2), None, Some(8)]);
    // Nothing has been said yet.
    assert_eq!(tails(&[("", "stop"), ("a", "")]), [Some(8), None]);
}

#[test]
fn what_the_last_byte_says_decides_about_a_doubted_end() {
    let doubted = [("a", "stop"), ("b", "stop")];
    let end = |chunks: &[(&str, &str)], last| take(chunks, &mut |_| {}, last);
    assert_eq!(end(&doubted, Last::Said), Ok("ab".to_owned()));
    assert_eq!(end(&doubted, Last::Framed), Ok("ab".to_owned()));
    assert_eq!(end(&doubted, Last::Silence), Ok("ab".to_owned()));
    assert_eq!(end(&doubted, Last::Closed), Err(FailureKind::CutOff));
    assert_eq!(end(&[("a", "null")], Last::Framed), Err(FailureKind::CutOff));
    assert_eq!(end(&[("a", "null")], Last::Said), Ok("a".to_owned()));
    assert_eq!(end(&[("a", "stop")], Last::Closed), Ok("a".to_owned()));
}
