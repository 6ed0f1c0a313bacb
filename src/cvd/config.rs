//! What the calculator can be told.

/// The calculator's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CvdConfig {
    /// `z_window` W: the Z-score looks at no more than W − 1 previous values. 2 to 1,000,000.
    pub z_window: usize,
    /// Previous values needed for a Z-score, 1 to W − 1; `None` means `max(5, z_window / 5)`, but never
    /// more than W − 1.
    pub z_warmup: Option<usize>,
    /// EMA weight of the newest value: above 0, at most 1.
    pub ema_alpha: f64,
}

impl Default for CvdConfig {
    fn default() -> Self {
        Self { z_window: 300, z_warmup: None, ema_alpha: 0.2 }
    }
}

/// A setting outside its range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CvdConfigError {
    /// `z_window`.
    #[error("z_window is {0}; choose 2 to {max}", max = CvdConfig::MAX_WINDOW)]
    Window(usize),
    /// `z_warmup`.
    #[error("z_warmup is {warmup}; choose 1 to {most} (one less than z_window)", most = z_window - 1)]
    Warmup {
        /// What was asked for.
        warmup: usize,
        /// The window it has to fit.
        z_window: usize,
    },
    /// `ema_alpha`.
    #[error("ema_alpha is {0}; choose a number above 0 and at most 1")]
    Alpha(f64),
}

impl CvdConfig {
    /// The largest `z_window`.
    pub const MAX_WINDOW: usize = 1_000_000;

    /// Checks every range.
    ///
    /// # Errors
    /// [`CvdConfigError`] names the first setting outside its range, and the range.
    pub fn validate(&self) -> Result<(), CvdConfigError> {
        if !(2..=Self::MAX_WINDOW).contains(&self.z_window) {
            return Err(CvdConfigError::Window(self.z_window));
        }
        if let Some(warmup) = self.z_warmup
            && !(1..self.z_window).contains(&warmup)
        {
            return Err(CvdConfigError::Warmup { warmup, z_window: self.z_window });
        }
        // A comparison with NaN is false, so NaN is refused too.
        if self.ema_alpha > 0.0 && self.ema_alpha <= 1.0 {
            Ok(())
        } else {
            Err(CvdConfigError::Alpha(self.ema_alpha))
        }
    }

    /// How many previous values the first Z-score needs: it comes with the trade after so many. 60 with
    /// the defaults.
    pub fn warmup_values(&self) -> usize {
        self.z_warmup.unwrap_or_else(|| (self.z_window / 5).max(5).min(self.baseline_values()))
    }

    /// How many previous values a Z-score looks at once the window is full: `z_window` − 1, because the
    /// current value takes one place.
    pub fn baseline_values(&self) -> usize {
        self.z_window.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_ends_where_it_says() {
        let with = |z_window, z_warmup, ema_alpha| CvdConfig { z_window, z_warmup, ema_alpha }.validate();
        assert_eq!(CvdConfig::default().validate(), Ok(()));
        assert_eq!(with(2, Some(1), 1.0), Ok(()));
        assert_eq!(with(1_000_000, Some(999_999), f64::MIN_POSITIVE), Ok(()));
        assert_eq!(with(1, None, 0.2), Err(CvdConfigError::Window(1)));
        assert_eq!(with(1_000_001, None, 0.2), Err(CvdConfigError::Window(1_000_001)));
        for warmup in [0, 300] {
            assert_eq!(with(300, Some(warmup), 0.2), Err(CvdConfigError::Warmup { warmup, z_window: 300 }));
        }
        for alpha in [0.0, -0.0, -0.1, 1.000_000_1, f64::INFINITY] {
            assert_eq!(with(300, None, alpha), Err(CvdConfigError::Alpha(alpha)));
        }
        assert!(matches!(with(300, None, f64::NAN), Err(CvdConfigError::Alpha(_))));
    }

    #[test]
    fn a_refusal_says_what_to_choose() {
        assert_eq!(CvdConfigError::Window(1).to_string(), "z_window is 1; choose 2 to 1000000");
        assert_eq!(
            CvdConfigError::Warmup { warmup: 300, z_window: 300 }.to_string(),
            "z_warmup is 300; choose 1 to 299 (one less than z_window)"
        );
        assert_eq!(
            CvdConfigError::Alpha(f64::NAN).to_string(),
            "ema_alpha is NaN; choose a number above 0 and at most 1"
        );
    }

    #[test]
    fn the_default_warmup_is_a_fifth_of_the_window_within_reason() {
        for (z_window, expected) in [(300, 60), (150, 30), (26, 5), (10, 5), (6, 5), (5, 4), (3, 2), (2, 1)] {
            let config = CvdConfig { z_window, ..CvdConfig::default() };
            assert_eq!(config.warmup_values(), expected, "window {z_window}");
        }
    }
}
