//! Quartiles.

/// First quartile, median and third quartile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quartiles {
    pub first: f64,
    pub median: f64,
    pub third: f64,
}

impl Quartiles {
    /// Of at least one value; between two values, linearly interpolated.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            first: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            third: quantile(&sorted, 0.75)?,
        })
    }
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? as f64 * share;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates() {
        let quartiles = Quartiles::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        let expected = Quartiles {
            first: 1.75,
            median: 2.5,
            third: 3.25,
        };
        assert_eq!(quartiles, expected);
    }

    #[test]
    fn one_value_is_all_three_and_none_is_nothing() {
        assert_eq!(Quartiles::of(&[5.0]).unwrap().third, 5.0);
        assert_eq!(Quartiles::of(&[]), None);
    }
}
