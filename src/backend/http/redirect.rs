//! Where a redirect points, fit to be shown.

use http::header::LOCATION;
use http::{HeaderMap, Uri};

/// Returns the scheme, host and path that an answer to `asked` points to; never its query, which may hold a secret.
pub(crate) fn target(headers: &HeaderMap, asked: &Uri) -> Option<String> {
    let place = headers.get(LOCATION)?.to_str().ok()?;
    let place = place.split(['?', '#']).next().unwrap_or_default().trim();
    if place.is_empty() || place.contains('@') {
        return None;
    }
    let (scheme, authority) = (asked.scheme_str()?, asked.authority()?);
    if place.contains("://") {
        return Some(place.to_owned());
    }
    if let Some(rest) = place.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    if place.starts_with('/') {
        return Some(format!("{scheme}://{authority}{place}"));
    }
    let folder = asked.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{scheme}://{authority}{folder}/{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_whole_and_without_its_query() {
        let asked = Uri::from_static("http://h:1/v1/models?api-key=secret");
        let check = |place: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, place.parse().unwrap());
            assert_eq!(target(&headers, &asked).as_deref(), expected, "{place}");
        };
        check("https://models.example.com/v1/models?key=1", Some("https://models.example.com/v1/models"));
        check("//other/v1", Some("http://other/v1"));
        check("/v2/models", Some("http://h:1/v2/models"));
        check("list", Some("http://h:1/v1/list"));
        check("https://me:word@h/", None);
        assert_eq!(target(&HeaderMap::new(), &asked), None);
    }
}
