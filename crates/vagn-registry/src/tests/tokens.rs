//! Tokens, sessions and shares.

use super::{NOW, in_memory};
use crate::{Kind, NewSecret, NewToken, PutError, Role, Session, Share};

fn token(name: &str) -> NewToken {
    NewToken {
        name: name.into(),
        role: Role::Operate,
        is_person: true,
        is_on_behalf: false,
        expires_ms: Some(NOW + 5),
    }
}

#[test]
fn keeps_a_token_as_its_digest() {
    let registry = in_memory();
    let (made, secret) = registry.add_token(token("eva"), NOW).unwrap();
    assert_eq!(NewSecret::digest_of(secret.text()), made.digest);
    assert_eq!(secret.text().len(), 43);
    assert_eq!(registry.tokens().unwrap(), [made]);
    let stored = registry.get(Kind::Token, "eva").unwrap().unwrap().value;
    assert!(!String::from_utf8(stored).unwrap().contains(secret.text()));
    assert!(!format!("{secret:?}").contains(secret.text()));
}

#[test]
fn gives_a_name_once() {
    let registry = in_memory();
    registry.add_token(token("eva"), NOW).unwrap();
    registry.revoke_token("eva", NOW + 1).unwrap();
    assert!(matches!(registry.add_token(token("eva"), NOW), Err(PutError::Exists { .. })));
    assert!(matches!(registry.revoke_token("max", NOW), Err(PutError::NotFound { .. })));
    for name in ["", " eva", "e\nva", &"e".repeat(65)] {
        assert!(matches!(registry.add_token(token(name), NOW), Err(PutError::Invalid(_))), "{name:?}");
    }
}

#[test]
fn gives_no_name_under_which_others_are_recorded() {
    let registry = in_memory();
    for name in ["http.tokens", "http.tokens:0123456789abcdef", "local", "share", "Local", "share: 7"] {
        assert!(matches!(registry.add_token(token(name), NOW), Err(PutError::Invalid(_))), "{name:?}");
    }
    for name in ["locals", "share desk", "http"] {
        assert!(registry.add_token(token(name), NOW).is_ok(), "{name:?}");
    }
}

#[test]
fn keeps_the_session_of_a_token_of_the_settings_apart_from_one_of_that_name() {
    let registry = in_memory();
    registry.add_token(token("ab12"), NOW).unwrap();
    let session = Session { digest: [1; 32], token: "ab12".into(), is_of_settings: true, expires_ms: NOW };
    registry.put_session(&session.digest, Some(&session)).unwrap();
    registry.revoke_token("ab12", NOW).unwrap();
    assert_eq!(registry.sessions().unwrap(), [session]);
}

#[test]
fn ends_at_its_time_and_when_it_is_revoked() {
    let registry = in_memory();
    let (made, _) = registry.add_token(token("eva"), NOW).unwrap();
    assert!(made.is_in_force(NOW + 4) && !made.is_in_force(NOW + 5));
    let revoked = registry.revoke_token("eva", NOW + 1).unwrap();
    assert!(!revoked.is_in_force(NOW));
    assert_eq!(
        registry.revoke_token("eva", NOW + 9).unwrap().revoked_ms,
        Some(NOW + 1),
        "the first time counts"
    );
}

#[test]
fn ends_the_sessions_of_a_revoked_token() {
    let registry = in_memory();
    registry.add_token(token("eva"), NOW).unwrap();
    for (number, token) in [(1, "eva"), (2, "eva"), (3, "max")] {
        let session =
            Session { digest: [number; 32], token: token.into(), is_of_settings: false, expires_ms: NOW };
        registry.put_session(&session.digest, Some(&session)).unwrap();
    }
    registry.revoke_token("eva", NOW).unwrap();
    let left = registry.sessions().unwrap();
    assert_eq!(left.iter().map(|session| &*session.token).collect::<Vec<_>>(), ["max"]);
}

#[test]
fn renews_and_ends_a_session() {
    let registry = in_memory();
    let session = Session { digest: [1; 32], token: "eva".into(), is_of_settings: false, expires_ms: NOW };
    registry.put_session(&[1; 32], Some(&session)).unwrap();
    let renewed = Session { expires_ms: NOW + 9, ..session.clone() };
    registry.renew_session(&renewed).unwrap();
    registry.renew_session(&session).unwrap();
    assert_eq!(registry.sessions().unwrap(), std::slice::from_ref(&renewed));
    registry.put_session(&[1; 32], None).unwrap();
    registry.put_session(&[1; 32], None).unwrap();
    registry.renew_session(&renewed).unwrap();
    assert_eq!(registry.sessions().unwrap(), [], "one that was ended stays so");
}

fn share(number: u8, expires_ms: i64) -> Share {
    Share {
        digest: [number; 32],
        number: 0,
        vehicle_id: "TAXI1".into(),
        by: "eva".into(),
        added_ms: NOW,
        expires_ms,
    }
}

#[test]
fn numbers_shares_and_never_uses_a_number_twice() {
    let registry = in_memory();
    let first = registry.add_share(share(1, NOW)).unwrap();
    let second = registry.add_share(share(2, NOW)).unwrap();
    assert!(registry.revoke_share(second.number).unwrap());
    assert!(!registry.revoke_share(second.number).unwrap());
    let third = registry.add_share(share(3, NOW)).unwrap();
    assert!(first.number < second.number && second.number < third.number);
    assert_eq!(registry.shares().unwrap(), [first, third]);
}

#[test]
fn removes_what_has_ended() {
    let registry = in_memory();
    registry.add_share(share(1, NOW)).unwrap();
    let later = registry.add_share(share(2, NOW + 1)).unwrap();
    let session = Session { digest: [1; 32], token: "eva".into(), is_of_settings: false, expires_ms: NOW };
    registry.put_session(&[1; 32], Some(&session)).unwrap();
    assert_eq!(registry.remove_ended(NOW + 1).unwrap(), 2);
    assert_eq!((registry.shares().unwrap(), registry.sessions().unwrap()), (vec![later], vec![]));
}

#[test]
fn counts_and_passes_over_what_makes_no_sense() {
    let registry = in_memory();
    registry.put_if(Kind::Token, "odd", 0, Some(b"{\"role\":\"emperor\"}")).unwrap();
    let (made, _) = registry.add_token(token("eva"), NOW).unwrap();
    assert_eq!(registry.tokens().unwrap(), [made]);
    assert_eq!(registry.unreadable(), 1);
}

#[test]
fn keeps_figures_without_a_look_at_the_disk() {
    let registry = in_memory();
    registry.add_device(crate::DeviceOf::Vehicle("TAXI1".into()), NOW).unwrap();
    registry.add_token(token("eva"), NOW).unwrap();
    registry.add_token(token("max"), NOW).unwrap();
    registry.add_share(share(1, NOW)).unwrap();
    let figures = registry.figures();
    assert_eq!((figures.devices, figures.tokens, figures.shares), (1, [0, 0, 0, 2, 0], 1));
    registry.revoke_token("eva", NOW).unwrap();
    registry.revoke_device("TAXI1", NOW).unwrap();
    let figures = registry.figures();
    assert_eq!((figures.devices, figures.tokens), (0, [0, 0, 0, 1, 0]));
}
