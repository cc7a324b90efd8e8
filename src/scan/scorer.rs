//! The learned scorer: an n-gram linear model over normalised text.

/// What the scorer makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Calibrated probability of an attack, 0 to 1.
    pub probability: f32,
}

/// Scores normalised text (`normalise::to_string`); `None`: no words.
pub fn score(_normalised: &str) -> Option<Learned> {
    None
}
