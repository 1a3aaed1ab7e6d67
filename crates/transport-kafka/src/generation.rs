//! What a position is made of, and which topic it belongs to.
//!
//! The lower 48 bits are the message's offset. The upper 16 say in which log it is: 10 bits of *generation*, which is how often the topic was
//! recreated, and 6 bits of how often its partition lost its end since then. When offsets begin anew positions must not, or an owner would take what
//! is new for what it has.

use async_trait::async_trait;
use weir_transport::Position;

const OFFSET_BITS: u32 = 48;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
const GENERATION_SHIFT: u32 = OFFSET_BITS + 6;

/// Which topic of a name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// How often it was recreated before, as far as that was met.
    pub number: u64,
    /// It is met for the first time, in place of another one.
    pub is_news: bool,
}

/// Remembers the topics that were met, as durably as the store keeps positions and for all processes that move them.
#[async_trait]
pub trait Generations: Send + Sync {
    /// The generation of the topic of this name that brokers gave this id: what it was the last time, or one more where the id is another. A name
    /// that is new begins with 0.
    ///
    /// # Errors
    /// With a passing reason.
    async fn of(&self, topic: &str, id: u128) -> Result<Generation, String>;
}

/// The message's offset.
pub(crate) fn offset(position: Position) -> u64 {
    position.0 & OFFSET_MASK
}

/// The topic's generation.
pub(crate) fn generation(position: Position) -> u64 {
    position.0 >> GENERATION_SHIFT
}

/// The position of the first message of a generation.
pub(crate) fn beginning(generation: u64) -> Position {
    Position(generation << GENERATION_SHIFT)
}

/// The position of an offset in the same log as another position.
pub(crate) fn at(offset: u64, beside: Position) -> Position {
    Position(beside.0 & !OFFSET_MASK | offset & OFFSET_MASK)
}

/// The position of an offset in a log that has lost its end: above all before.
pub(crate) fn after_loss(offset: u64, before: Position) -> Position {
    Position(((before.0 >> OFFSET_BITS) + 1) << OFFSET_BITS | offset & OFFSET_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_grow_whatever_becomes_of_the_log() {
        let first = at(7, beginning(0));
        let cut = after_loss(3, first);
        let later = at(9, cut);
        let recreated = beginning(1);
        let again = at(0, recreated);
        assert_eq!(first, Position(7));
        assert!(first < cut && cut < later && later < recreated && recreated == again);
        assert_eq!([first, cut, later, recreated].map(generation), [0, 0, 0, 1]);
        assert_eq!([first, cut, later, recreated].map(offset), [7, 3, 9, 0]);
    }
}
