//! Large answers, made piece by piece as they are taken.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;

use super::account::Portion;
use super::answer;
use super::taken::Weight;

/// Bytes after which a piece ends with the next entry.
const PIECE_LEN: usize = 16 << 10;
/// Bytes set aside for the entry that ends a piece.
const ENTRY_LEN: usize = 512;

/// Returns the pieces of a list: `head`, the items as `write` writes them, with `between` in between, and `tail`.
pub fn list<T>(
    head: Vec<u8>,
    items: Vec<T>,
    between: &'static [u8],
    mut write: impl FnMut(&mut Vec<u8>, &T),
    tail: Vec<u8>,
) -> impl Iterator<Item = Vec<u8>> {
    let mut items = items.into_iter().peekable();
    let mut head = Some(head);
    let mut tail = Some(tail);
    std::iter::from_fn(move || {
        let mut piece = Vec::with_capacity(PIECE_LEN + ENTRY_LEN);
        piece.append(&mut head.take().unwrap_or_default());
        while piece.len() < PIECE_LEN
            && let Some(item) = items.next()
        {
            write(&mut piece, &item);
            if items.peek().is_some() {
                piece.extend_from_slice(between);
            }
        }
        if items.peek().is_none() {
            piece.append(&mut tail.take()?);
        }
        Some(piece)
    })
}

/// Answers with pieces, about now: no cache may keep them. `room` is for what they are made of, and is given back behind the
/// last one. An answer of one piece has a length, a longer one none.
pub fn live(
    media_type: &'static str,
    room: Portion,
    mut pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> Response {
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else { return answer::live(media_type, first) };
    let bytes = room.amount();
    let pieces = [first, second].into_iter().chain(pieces).map(move |piece| {
        // Belongs to the closure, so that it is held as long as there are pieces.
        let _room = &room;
        Ok::<_, Infallible>(Bytes::from(piece))
    });
    let mut response = answer::live(media_type, Body::from_stream(stream::iter(pieces)));
    response.extensions_mut().insert(Weight::Held(bytes));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{HttpBody, to_bytes};

    use super::*;
    use crate::caller::Caller;

    fn numbers(count: usize) -> impl Iterator<Item = Vec<u8>> {
        let write = |out: &mut Vec<u8>, number: &usize| out.extend_from_slice(number.to_string().as_bytes());
        list(b"[".to_vec(), (0..count).collect(), b",", write, b"]".to_vec())
    }

    #[test]
    fn a_list_is_the_same_in_pieces_of_any_number() {
        for count in [0, 1, 2, 3_000, 4_000, 40_000] {
            let whole = serde_json::to_vec(&(0..count).collect::<Vec<_>>()).unwrap();
            let pieces: Vec<_> = numbers(count).collect();
            assert_eq!(pieces.concat(), whole, "{count}");
            assert!(pieces.iter().all(|piece| piece.len() < PIECE_LEN + ENTRY_LEN), "{count}");
        }
    }

    #[tokio::test]
    async fn a_short_answer_has_a_length_and_a_long_one_holds_its_room() {
        let caller = Caller::alone();
        let room = || caller.room(1 << 20).unwrap();
        let short = live("application/json", room(), numbers(100));
        assert_eq!((short.body().size_hint().exact(), caller.answer_bytes()), (Some(291), 0));
        let long = live("application/json", room(), numbers(40_000));
        assert_eq!((long.body().size_hint().exact(), caller.answer_bytes()), (None, 1 << 20));
        to_bytes(long.into_body(), usize::MAX).await.unwrap();
        assert_eq!(caller.answer_bytes(), 0);
    }
}
