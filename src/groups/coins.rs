//! What a number of contracts is worth in coins.
//!
//! A contract of COIN-M is worth a fixed sum of dollars; how many coins that is depends on the price of the trade, and
//! hardly ever comes out even. So each trade is rounded once, half to even, to the finest step the exchange uses: a sum
//! over n trades is off by at most n times half a step.

use crate::units::{Price, Qty, SCALE};

/// Contracts × size ÷ price: the coins that a trade of contracts moved, in units of 1e-8, rounded half to even. The
/// size is what one contract is worth, in whole dollars. Contracts below zero give coins below zero.
///
/// `None` where the price is zero or less: nobody can tell what such a trade is worth in coins.
#[inline]
pub fn coins_of(contracts: Qty, size: u32, price: Price) -> Option<i128> {
    let price = u64::try_from(price.units()).ok().filter(|price| *price > 0)?;
    let dollars = u128::from(contracts.units().unsigned_abs()) * u128::from(size);
    // Both have eight decimals, which cancel: below 2^63 × 2^32 × 2^27, so that nothing overflows.
    let rounded = half_even(dollars * u128::from(SCALE.unsigned_abs()), price);
    let coins = i128::try_from(rounded).ok()?;
    Some(if contracts.units() < 0 { -coins } else { coins })
}

/// The quotient, rounded half to even. The divisor is not zero and below 2^63.
#[inline]
fn half_even(dividend: u128, divisor: u64) -> u128 {
    // Smaller trades fit `u64`, whose division is many times cheaper.
    let (quotient, rest) = match u64::try_from(dividend) {
        Ok(small) => (u128::from(small / divisor), small % divisor),
        Err(_) => {
            let divisor = u128::from(divisor);
            (dividend / divisor, (dividend % divisor) as u64)
        }
    };
    let twice = rest * 2;
    quotient + u128::from(twice > divisor || (twice == divisor && quotient % 2 == 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coins(contracts: &str, size: u32, price: &str) -> Option<i128> {
        coins_of(contracts.parse().unwrap(), size, price.parse().unwrap())
    }

    /// Digits in base 2^32, lowest first: products as they are done on paper.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Big(Vec<u32>);

    impl Big {
        fn of(mut value: u128) -> Self {
            let mut digits = Vec::new();
            while value > 0 {
                digits.push(value as u32);
                value >>= 32;
            }
            Self(digits)
        }

        fn times(&self, other: &Self) -> Self {
            let mut digits = vec![0u32; self.0.len() + other.0.len()];
            for (i, a) in self.0.iter().enumerate() {
                let mut carry = 0u64;
                for (j, b) in other.0.iter().enumerate() {
                    let sum = u64::from(*a) * u64::from(*b) + u64::from(digits[i + j]) + carry;
                    digits[i + j] = sum as u32;
                    carry = sum >> 32;
                }
                digits[i + other.0.len()] = carry as u32;
            }
            while digits.last() == Some(&0) {
                digits.pop();
            }
            Self(digits)
        }

        /// The distance of two numbers.
        fn apart(&self, other: &Self) -> Self {
            let (large, small) = if self.exceeds(other) { (self, other) } else { (other, self) };
            let (mut digits, mut borrow) = (large.0.clone(), 0i64);
            for (at, digit) in digits.iter_mut().enumerate() {
                let rest = i64::from(*digit) - i64::from(small.0.get(at).copied().unwrap_or(0)) - borrow;
                borrow = i64::from(rest < 0);
                *digit = rest as u32;
            }
            while digits.last() == Some(&0) {
                digits.pop();
            }
            Self(digits)
        }

        fn exceeds(&self, other: &Self) -> bool {
            let order = self.0.len().cmp(&other.0.len());
            order.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_gt()
        }
    }

    #[test]
    fn dollars_by_price_are_coins() {
        // 1000 contracts of 100 dollars at 50,000 dollars are two coins.
        assert_eq!(coins("1000", 100, "50000"), Some(200_000_000));
        assert_eq!(coins("1", 10, "0.00000001"), Some(100_000_000_000_000_000));
        assert_eq!(coins("0", 100, "50000"), Some(0));
        assert_eq!(
            coins_of(Qty::from_units(-100_000_000), 100, Price::from_units(300_000_000)),
            Some(-3_333_333_333)
        );
    }

    #[test]
    fn a_half_goes_to_the_even_neighbour() {
        // 1e-8 contracts of one dollar: 1e-8 dollars, by 2 dollars half a unit, by 2/3 a unit and a half.
        let unit = Qty::from_units(1);
        for (size, even) in [(1, 0), (3, 2), (5, 2), (7, 4), (9, 4)] {
            assert_eq!(coins_of(unit, size, Price::from_units(2 * SCALE)), Some(even), "{size} halves");
            assert_eq!(coins_of(Qty::from_units(-1), size, Price::from_units(2 * SCALE)), Some(-even));
        }
        assert_eq!(coins_of(unit, 3, Price::from_units(2 * SCALE - 1)), Some(2));
        assert_eq!(coins_of(unit, 1, Price::from_units(2 * SCALE - 1)), Some(1));
        assert_eq!(coins_of(unit, 1, Price::from_units(2 * SCALE + 1)), Some(0));
    }

    #[test]
    fn the_extremes_of_the_range_do_not_overflow() {
        let most = Qty::from_units(i64::MAX);
        let product = i128::from(i64::MAX) * i128::from(u32::MAX) * i128::from(SCALE);
        assert_eq!(coins_of(most, u32::MAX, Price::from_units(1)), Some(product));
        assert!(coins_of(Qty::from_units(i64::MIN), u32::MAX, Price::from_units(1)).is_some());
        assert!(coins_of(most, 1, Price::from_units(i64::MAX)).is_some());
    }

    #[test]
    fn a_price_that_is_none_gives_no_coins() {
        for price in [0, -1, i64::MIN] {
            assert_eq!(coins_of(Qty::from_units(SCALE), 100, Price::from_units(price)), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// |coins × price − dollars| is at most half a price, and where it is exactly half the coins are even: the
        /// definition of rounding half to even, in integers that cannot overflow.
        #[test]
        fn no_other_number_of_coins_is_nearer(
            contracts in prop_oneof![0..1_000_000i64, any::<i64>(), (0..1_000_000i64).prop_map(|whole| whole * SCALE)],
            size in prop_oneof![Just(10u32), Just(100), any::<u32>()],
            price in prop_oneof![1..1_000i64, 1..i64::MAX, (1..100_000i64).prop_map(|dollars| dollars * SCALE)],
        ) {
            let coins = coins_of(Qty::from_units(contracts), size, Price::from_units(price)).unwrap();
            prop_assert!(coins == 0 || (coins < 0) == (contracts < 0));
            let price = Big::of(price.unsigned_abs().into());
            let dollars = Big::of(contracts.unsigned_abs().into()).times(&Big::of(size.into()));
            let dollars = dollars.times(&Big::of(SCALE.unsigned_abs().into()));
            let twice_off = Big::of(coins.unsigned_abs()).times(&price).apart(&dollars).times(&Big::of(2));
            prop_assert!(!twice_off.exceeds(&price), "{coins} is more than half a unit off");
            prop_assert!(twice_off != price || coins % 2 == 0, "{coins} is odd although it was a tie");
        }

        /// What the documents promise of a sum: at most half a unit for each trade.
        #[test]
        fn a_sum_is_off_by_half_a_unit_a_trade_at_most(
            trades in prop::collection::vec((1..10_000i64, 1..10_000_000i64, any::<bool>()), 1..40),
            size in prop_oneof![Just(10u32), Just(100)],
        ) {
            // Sums of fractions, exactly: over the product of nothing but one price at a time, as a remainder each.
            let (mut sum, mut off_by) = (0i128, 0.0f64);
            for (whole, cents, buys) in &trades {
                let contracts = if *buys { whole * SCALE } else { -whole * SCALE };
                let price = Price::from_units(cents * (SCALE / 100));
                let coins = coins_of(Qty::from_units(contracts), size, price).unwrap();
                sum += coins;
                let exact = i128::from(contracts) * i128::from(size) * i128::from(SCALE);
                off_by += (coins * i128::from(price.units()) - exact) as f64 / price.units() as f64;
            }
            prop_assert!(off_by.abs() <= 0.5 * trades.len() as f64 + 1e-9, "{sum} is off by {off_by}");
        }
    }
}
