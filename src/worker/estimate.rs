//! What a request has used where its server does not report it, by the length of the texts.

use crate::backend::ChatRequest;
use crate::base::TokenCount;
use crate::event::{Failure, FailureKind, Usage};

/// Bytes of a token: English takes some 4 in the vocabularies of today, code and other languages fewer. The same number
/// as in dialogues' budgets.
const BYTES_PER_TOKEN: u64 = 4;

/// Returns how many tokens a text of so many bytes has, about; at least 1 unless it is empty.
fn about(bytes: usize) -> TokenCount {
    TokenCount((bytes as u64).div_ceil(BYTES_PER_TOKEN))
}

/// Returns how many tokens a prompt has, about.
fn prompt(request: &ChatRequest) -> TokenCount {
    about(request.messages.iter().map(|message| message.content.len()).sum())
}

/// Estimates what `usage` lacks of a request whose answer, thought included, has so many bytes.
pub(super) fn of_answer(request: &ChatRequest, usage: &Usage, answer_bytes: usize) -> Usage {
    Usage {
        input: usage.input.is_none().then(|| prompt(request)),
        output: usage.output.is_none().then(|| about(answer_bytes)),
        ..Usage::default()
    }
}

/// Estimates what `usage` lacks of a request that failed after so many bytes of an answer: nothing where the server
/// refused it or was not reached.
pub(super) fn of_failure(request: &ChatRequest, usage: &Usage, failure: &Failure, answer_bytes: usize) -> Usage {
    let was_worked_on = match failure.kind {
        FailureKind::NoAnswer
        | FailureKind::ReasoningCut
        | FailureKind::ContentFiltered
        | FailureKind::CutOff
        | FailureKind::TooLarge => true,
        // A page or an error object costs nothing; half an answer does.
        FailureKind::Malformed | FailureKind::TimedOut(_) | FailureKind::Cancelled => answer_bytes > 0,
        _ => false,
    };
    if was_worked_on { of_answer(request, usage, answer_bytes) } else { Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::contract::request;

    #[test]
    fn only_what_is_not_reported_is_estimated() {
        let request = request("m");
        let bytes: usize = request.messages.iter().map(|message| message.content.len()).sum();
        let whole = of_answer(&request, &Usage::default(), 400);
        assert_eq!((whole.input, whole.output), (Some(TokenCount(bytes.div_ceil(4) as u64)), Some(TokenCount(100))));
        let reported = Usage { input: Some(TokenCount(9)), ..Usage::default() };
        assert_eq!(of_answer(&request, &reported, 2), Usage { output: Some(TokenCount(1)), ..Usage::default() });
    }

    #[test]
    fn a_refused_request_used_nothing() {
        let request = request("m");
        let used = |kind, bytes| of_failure(&request, &Usage::default(), &Failure::new(kind, ""), bytes);
        assert!(used(FailureKind::Throttled, 0).is_empty() && used(FailureKind::Malformed, 0).is_empty());
        assert_eq!(used(FailureKind::CutOff, 40).output, Some(TokenCount(10)));
        assert!(used(FailureKind::NoAnswer, 0).input.is_some());
    }
}
