//! Reasons why settings are refused. Each names the key to change.

use vagn_api::map::BadStyleUrl;

use super::cluster::BadCluster;
use super::emergency::BadEmergency;
use super::span::Span;

/// Least memory for answers: one address may have a quarter of it, and a large answer takes some 2 MB.
pub(super) const ANSWER_BYTES_MIN: u32 = 16 << 20;
/// Shortest token, in characters: 64 bits even where it is written in hexadecimal digits.
pub(super) const TOKEN_MIN: usize = 16;

/// Reason why the settings are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// A number that must not be 0.
    #[error("`{0}` is 0; it must be at least 1")]
    Zero(&'static str),
    /// A length of time that is too short to work.
    #[error("`{key} = \"{value}\"` is too short; take at least {min}")]
    TooShort {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: Span,
        /// The shortest that works.
        min: Span,
    },
    /// A number beyond what any machine has.
    #[error("`{key} = {value}` is too much; take at most {max}")]
    TooMuch {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: u32,
        /// The most that makes sense.
        max: u32,
    },
    /// Memory for answers that has no room for one.
    #[error("`http.max_answer_bytes = {0}` is too little; take at least {ANSWER_BYTES_MIN}")]
    AnswerBytes(u32),
    /// A hang limit close to the pause between two signs of life.
    #[error(
        "`hang_limit = \"{0}\"` is too short; every part gives a sign of life once a second, so take at least 2s"
    )]
    HangLimit(Span),
    /// A certificate without a key, or a key without a certificate.
    #[error("`http.cert` and `http.key` go together; only one of them is set")]
    HalfCertificate,
    /// An address that cannot be resolved.
    #[error("`{key} = \"{listen}\"` is not an address: {why}; write host:port, such as localhost:9092")]
    Address {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        listen: String,
        /// Error of the resolver.
        why: String,
    },
    /// An empty token, which no request can carry.
    #[error("`http.tokens` has an empty token, which no request can carry; remove it")]
    EmptyToken,
    /// A token that can be guessed.
    #[error(
        "`http.tokens[{at}]` has {length} characters; take at least {TOKEN_MIN} that nobody can guess, such as those that \
         `openssl rand -hex 16` prints"
    )]
    ShortToken {
        /// Number of the token in the list, from 0.
        at: usize,
        /// Its length.
        length: usize,
    },
    /// An origin that no browser sends in this form.
    #[error(
        "`http.cors_origins` has {0:?}, which no browser sends; write scheme, host and port in lower case without a slash at the end, \
         such as \"https://map.example\", or \"*\" alone"
    )]
    Origin(String),
    /// A name that no request has in `Host`.
    #[error(
        "`{key}` has {name:?}, which is no name of a machine; write it without scheme, port and path, such as \"vagn.example\""
    )]
    Name {
        /// Name of the setting.
        key: &'static str,
        /// The wrong one.
        name: String,
    },
    /// A public address that no browser shows.
    #[error(
        "`http.public_url = {0:?}` is no address of a service; write scheme, host and port in lower case without a slash at the end, \
         such as \"https://fleet.example\""
    )]
    PublicUrl(String),
    /// An API without TLS that other machines can reach.
    #[error(
        "`http.plain` sends positions and tokens in clear, and `http.listen = \"{0}\"` can be reached from other machines; listen on \
         localhost, name the proxies that end TLS in `http.trusted_proxies`, or serve TLS"
    )]
    Plain(String),
    /// An address of a map style that no page can load.
    #[error("`map.style_url = {style_url:?}` {why}")]
    StyleUrl {
        /// Its value.
        style_url: String,
        /// What it must be.
        why: BadStyleUrl,
    },
    /// A listener that other machines can reach and that asks for no key or token.
    #[error(
        "`{key} = \"{listen}\"` can be reached from other machines, and {lacks}; \
         listen on localhost, {remedy}pass --insecure-open if the network is trusted"
    )]
    Open {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        listen: String,
        /// Protection that the listener lacks.
        lacks: &'static str,
        /// Better remedy than opening it, if there is one.
        remedy: &'static str,
    },
    /// Settings of an emergency target that cannot work.
    #[error(transparent)]
    Emergency(#[from] BadEmergency),
    /// Settings of a cluster that cannot work.
    #[error(transparent)]
    Cluster(#[from] BadCluster),
}
