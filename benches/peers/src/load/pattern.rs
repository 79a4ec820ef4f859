//! The bytes that the load client sends: a period, again and again.
//!
//! That of an echo has each byte depend on its position in the stream, so that a
//! lost, doubled or moved one is seen when it comes back.

/// Prime, hence in step with no buffer or message size.
const PERIOD: u8 = 251;

pub struct Pattern {
    bytes: Vec<u8>,
    period: usize,
    longest: usize,
}

impl Pattern {
    /// The pattern of an echo, which gives out slices of up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self::of(&(0..PERIOD).collect::<Vec<_>>(), longest)
    }

    /// A pattern of some other period.
    pub fn of(period: &[u8], longest: usize) -> Self {
        let bytes = period.iter().copied().cycle();
        Self {
            bytes: bytes.take(period.len() + longest).collect(),
            period: period.len(),
            longest,
        }
    }

    /// Bytes after which it begins again.
    pub fn period(&self) -> usize {
        self.period
    }

    /// The next `length` bytes at a position of the stream, or as many of them
    /// as the pattern holds in one piece.
    pub fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = (position % self.period as u64) as usize;
        &self.bytes[start..start + length.min(self.longest)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_the_previous_slice_ended() {
        let pattern = Pattern::new(1000);
        let whole = pattern.at(7, 900);
        assert_eq!(&whole[..400], pattern.at(7, 400));
        assert_eq!(&whole[400..], pattern.at(407, 500));
    }

    #[test]
    fn is_cut_at_the_longest_slice() {
        assert_eq!(Pattern::new(10).at(250, 11).len(), 10);
    }
}
