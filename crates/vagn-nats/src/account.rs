//! The account of a node at a broker, as the address gives it: `tls://USER:PASSWORD@HOST`, or `tls://TOKEN@HOST`.
//!
//! It is taken out of the address, so that no place that shows the address shows the password. The client would not use it there.

use std::fmt::{self, Debug, Formatter};

use async_nats::{Auth, ServerAddr};
use percent_encoding::percent_decode_str;

/// A user with a password, or a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    password: Option<String>,
}

impl Account {
    /// Takes the account out of an address; `None`: it has bytes that are no text.
    pub(crate) fn take(address: ServerAddr) -> Option<(ServerAddr, Option<Self>)> {
        let mut url = address.into_inner();
        let name = decoded(url.username())?;
        let password = match url.password() {
            Some(password) => Some(decoded(password)?),
            None => None,
        };
        let has_any = !name.is_empty() || password.is_some();
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some((ServerAddr::from_url(url).ok()?, has_any.then_some(Self { name, password })))
    }

    /// Returns it as the client takes it.
    pub(crate) fn auth(&self) -> Auth {
        let mut auth = Auth::new();
        match &self.password {
            Some(password) => {
                auth.username = Some(self.name.clone());
                auth.password = Some(password.clone());
            }
            None => auth.token = Some(self.name.clone()),
        }
        auth
    }
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// Shows no name and no password: either may be a secret.
impl Debug for Account {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Account")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, address: &str, account: Option<(&str, Option<&str>)>) {
        let (left, taken) = Account::take(text.parse().unwrap()).unwrap();
        assert_eq!(left.as_url_str(), address);
        let account = account
            .map(|(name, password)| Account { name: name.into(), password: password.map(str::to_owned) });
        assert!(taken == account, "{text}");
    }

    #[test]
    fn a_user_and_a_password_are_taken_out_of_the_address_as_they_are_meant() {
        check("tls://a.example:4222", "tls://a.example:4222", None);
        check("tls://me:hush@a.example", "tls://a.example", Some(("me", Some("hush"))));
        check("tls://m%C3%A9:h%3A%40%25@a.example:1", "tls://a.example:1", Some(("mé", Some("h:@%"))));
        check("tls://me:@a.example", "tls://a.example", Some(("me", None)));
        check("tls://token@[::1]:1", "tls://[::1]:1", Some(("token", None)));
        assert!(Account::take("tls://%ff@a.example".parse().unwrap()).is_none());
    }

    #[test]
    fn a_broker_hears_a_password_or_a_token_and_nobody_sees_it() {
        let (_, account) = Account::take("tls://me:hush@a.example".parse().unwrap()).unwrap();
        let account = account.unwrap();
        let auth = account.auth();
        assert_eq!((auth.username.as_deref(), auth.password.as_deref()), (Some("me"), Some("hush")));
        assert!(auth.token.is_none() && !format!("{account:?}").contains("hush"));
        let (_, account) = Account::take("tls://hush@a.example".parse().unwrap()).unwrap();
        let auth = account.unwrap().auth();
        assert_eq!((auth.token.as_deref(), auth.username), (Some("hush"), None));
    }
}
