//! Thins the points of a curve so that no spike is lost: of each window the first and the last point stay, and those with
//! the least and the largest value.

/// The figures of a point by which spikes are kept.
pub trait Point {
    /// Its place: mini-batches or epochs, from 1.
    fn place(&self) -> u64;
    /// Its figures; one that is not known is no spike.
    fn figures(&self) -> [Option<f64>; FIGURES];
}

/// Figures of a point.
pub const FIGURES: usize = 3;

/// Which points stay, where each window is `width` places wide. `points` are in the order of their places.
///
/// Windows are cut at `cut`, too: points after it may be deleted later, and those before it must then be thinned as if those
/// after had never been there.
pub fn kept<P: Point>(points: &[P], width: u64, cut: u64) -> Vec<bool> {
    let mut kept = vec![false; points.len()];
    let window = |point: &P| (point.place() > cut, point.place().saturating_sub(1) / width.max(1));
    let mut start = 0;
    while let Some(first) = points.get(start) {
        let len = points[start..].iter().take_while(|point| window(point) == window(first)).count();
        let here = &points[start..start + len];
        kept[start] = true;
        kept[start + len - 1] = true;
        for figure in 0..FIGURES {
            let known = || here.iter().enumerate().filter_map(|(i, p)| Some((i, p.figures()[figure]?)));
            let least = known().min_by(|a, b| a.1.total_cmp(&b.1));
            let most = known().max_by(|a, b| a.1.total_cmp(&b.1));
            for (i, _) in least.into_iter().chain(most) {
                kept[start + i] = true;
            }
        }
        start += len;
    }
    kept
}

/// The narrowest window, `width` or a doubling of it, with which at most `most` points stay, and which do.
pub fn fit<P: Point>(points: &[P], width: u64, cut: u64, most: usize) -> (u64, Vec<bool>) {
    let last = points.last().map_or(0, Point::place);
    let mut width = width.max(1);
    loop {
        let stay = kept(points, width, cut);
        if width >= last || stay.iter().filter(|stays| **stays).count() <= most {
            return (width, stay);
        }
        width = width.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64, f64);

    impl Point for At {
        fn place(&self) -> u64 {
            self.0
        }

        fn figures(&self) -> [Option<f64>; FIGURES] {
            [Some(self.1), None, None]
        }
    }

    fn places(points: &[At], stay: &[bool]) -> Vec<u64> {
        points.iter().zip(stay).filter(|(_, stays)| **stays).map(|(point, _)| point.0).collect()
    }

    #[test]
    fn of_each_window_first_last_least_and_most_stay() {
        let values = [5.0, 9.0, 6.0, 1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 7.0, 5.0];
        let points: Vec<_> = (1..).zip(values).map(|(place, value)| At(place, value)).collect();
        assert_eq!(places(&points, &kept(&points, 6, 0)), [1, 2, 4, 6, 7, 10, 11]);
        assert_eq!(places(&points, &kept(&points, 1, 0)), (1..=11).collect::<Vec<_>>());
        // The largest value of the first window lies after the cut: the one before it stays, too.
        let points = [At(1, 1.0), At(2, 3.0), At(3, 2.0), At(4, 2.0), At(5, 9.0), At(6, 2.0)];
        assert_eq!(places(&points, &kept(&points, 100, 4)), [1, 2, 4, 5, 6]);
        assert_eq!(kept::<At>(&[], 6, 0), [false; 0]);
    }

    #[test]
    fn windows_widen_until_few_enough_stay() {
        let points: Vec<_> = (1..=5000).map(|i| At(i, if i == 1234 { 50.0 } else { 1.0 / i as f64 })).collect();
        let (width, stay) = fit(&points, 1, 0, 1000);
        let left = places(&points, &stay);
        assert!(left.len() <= 1000 && left.len() > 400, "{}", left.len());
        assert!([1, 1234, 5000].iter().all(|place| left.contains(place)) && width.is_power_of_two());
        // Nothing to do, and nothing that can be done.
        assert_eq!(fit(&points[..10], 1, 0, 1000), (1, vec![true; 10]));
        assert_eq!(fit(&points, 1, 0, 0).1.iter().filter(|stays| **stays).count(), 3);
    }
}
