//! Compressed forms of a file, and the choice between them by `Accept-Encoding` (RFC 9110, 12.5.3).

use axum::http::{HeaderMap, header};

/// A compressed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Brotli,
    Gzip,
}

impl Form {
    /// All forms, the smallest first.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// Name in `Accept-Encoding` and `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Ending of the name of a file in this form.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// Returns the form that the caller likes best among those that it reads; the first of `kept` where it likes several alike.
/// None: it reads none, or did not say.
pub(super) fn choose(asked: &HeaderMap, kept: impl Iterator<Item = Form>) -> Option<Form> {
    let liked = kept.map(|form| (form, liking(asked, form.name()))).filter(|(_, liking)| *liking > 0.0);
    let best = liked.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(form, _)| form)
}

/// Returns the weight that the caller gives to a coding, from 0 (it cannot read it) to 1.
fn liking(asked: &HeaderMap, name: &str) -> f32 {
    let mut any = 0.0;
    let lines = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    for entry in lines.flat_map(|line| line.split(',')) {
        let (coding, weight) =
            entry.split_once(';').map_or((entry, 1.0), |(coding, rest)| (coding, weight(rest)));
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case(name) => return weight,
            "*" => any = weight,
            _ => {}
        }
    }
    any
}

/// Reads `q=0.5`; what cannot be read counts as 0, so that no caller gets what it may not be able to read.
fn weight(text: &str) -> f32 {
    let digits = text.trim().strip_prefix("q=").or_else(|| text.trim().strip_prefix("Q="));
    digits
        .and_then(|digits| digits.trim().parse().ok())
        .filter(|weight| (0.0..=1.0).contains(weight))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_gets_the_smallest_form_that_it_reads() {
        for (accepted, expected) in [
            (&["gzip, deflate, br, zstd"][..], Some(Form::Brotli)),
            (&["gzip", "br"], Some(Form::Brotli)),
            (&["gzip, deflate"], Some(Form::Gzip)),
            (&["GZIP;q=0.5"], Some(Form::Gzip)),
            (&["br;q=0.4, gzip;q=0.9"], Some(Form::Gzip)),
            (&["br; q=0, gzip"], Some(Form::Gzip)),
            (&["*"], Some(Form::Brotli)),
            (&["br;q=0, *;q=0.1"], Some(Form::Gzip)),
            (&["*;q=0"], None),
            (&["br;q=much"], None),
            (&["identity"], None),
            (&[""], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            accepted.iter().for_each(|line| {
                headers.append(header::ACCEPT_ENCODING, line.parse().unwrap());
            });
            assert_eq!(choose(&headers, Form::ALL.into_iter()), expected, "{accepted:?}");
        }
    }

    #[test]
    fn a_form_that_is_not_kept_is_not_chosen() {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, "br, gzip".parse().unwrap())]);
        assert_eq!(choose(&headers, [Form::Gzip].into_iter()), Some(Form::Gzip));
        assert_eq!(choose(&headers, [].into_iter()), None);
    }
}
