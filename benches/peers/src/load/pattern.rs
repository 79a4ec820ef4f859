//! The bytes that the load client sends and expects: each byte depends on its
//! position in the stream, so that a lost, doubled or moved one is seen.

/// Prime, hence in step with no buffer or message size.
const PERIOD: usize = 251;

pub struct Pattern {
    bytes: Vec<u8>,
    longest: usize,
}

impl Pattern {
    /// A pattern that gives out slices of up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        let bytes = (0..PERIOD as u8).cycle().take(PERIOD + longest).collect();
        Self { bytes, longest }
    }

    /// The next `length` bytes at a position of the stream, or as many of them
    /// as the pattern holds in one piece.
    pub fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = (position % PERIOD as u64) as usize;
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
