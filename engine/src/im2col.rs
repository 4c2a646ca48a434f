//! `im2col`, *Deep Learning from Scratch* §7.4.3, in `f64`: the oracle of the convolution, which copies no window.

use ndarray::{Array2, Array3, ArrayView3, s};

/// Every window of an image `[C, H, W]` as a row: `[OH·OW, C·KH·KW]`, with zeros around the image.
///
/// # Panics
/// If the window does not fit the padded image.
pub fn im2col(
    image: &ArrayView3<'_, f64>,
    kernel: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
) -> Array2<f64> {
    let (channels, height, width) = image.dim();
    let (top, left) = (before[0], before[1]);
    let mut padded = Array3::zeros((channels, height + top + after[0], width + left + after[1]));
    padded.slice_mut(s![.., top..top + height, left..left + width]).assign(image);
    let outputs = [0, 1].map(|axis| (padded.shape()[axis + 1] - kernel[axis]) / stride[axis] + 1);
    let mut columns = Array2::zeros((outputs[0] * outputs[1], channels * kernel[0] * kernel[1]));
    for (place, mut column) in columns.rows_mut().into_iter().enumerate() {
        let (y, x) = (place / outputs[1] * stride[0], place % outputs[1] * stride[1]);
        let window = padded.slice(s![.., y..y + kernel[0], x..x + kernel[1]]);
        column.iter_mut().zip(window).for_each(|(to, from)| *to = *from);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_example() {
        // §7.4.3: a window of 5×5 over (3, 7, 7) gives (9, 75).
        let image = Array3::from_shape_fn((3, 7, 7), |(c, y, x)| (c * 49 + y * 7 + x) as f64);
        let columns = im2col(&image.view(), [5, 5], [1, 1], [0, 0], [0, 0]);
        assert_eq!(columns.dim(), (9, 75));
        // The fifth window begins at (1, 1); its second row, third value, second channel.
        assert_eq!(columns[[4, 25 + 5 + 2]], f64::from(49 + 2 * 7 + 3));
    }
}
