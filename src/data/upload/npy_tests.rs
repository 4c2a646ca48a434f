//! Arrays, sound and unsound.

use proptest::prelude::*;

use super::super::tests::{npy, npy_with_header};
use super::*;

const LIMIT: u64 = 1 << 20;

fn read_inputs(bytes: &[u8]) -> Result<Array<Values>, NpyError> {
    inputs(&mut &bytes[..], &mut { LIMIT })
}

fn read_labels(bytes: &[u8]) -> Result<Array<Vec<u16>>, NpyError> {
    labels(&mut &bytes[..], &mut { LIMIT })
}

fn floats(array: Array<Values>) -> Vec<f32> {
    let Values::Floats(values) = array.1 else { panic!("numbers are needed") };
    values.to_vec()
}

#[test]
fn inputs_come_as_bytes_or_numbers_of_either_order() {
    let (axes, values) = read_inputs(&npy("|u1", &[2, 3], &[0, 1, 2, 253, 254, 255])).unwrap();
    assert_eq!((axes, values == Values::Bytes(vec![0, 1, 2, 253, 254, 255].into())), (vec![2, 3], true));
    let little: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let big: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let double: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    for (descr, bytes) in [("<f4", little), (">f4", big), (">f8", double)] {
        assert_eq!(floats(read_inputs(&npy(descr, &[2, 1], &bytes)).unwrap()), [1.5, -2.0], "{descr}");
    }
}

#[test]
fn labels_come_of_any_integer_type() {
    for (descr, bytes) in [
        ("|u1", vec![7]),
        ("|i1", vec![7]),
        ("<u2", vec![7, 0]),
        (">i2", vec![0, 7]),
        ("<i4", vec![7, 0, 0, 0]),
        (">u8", vec![0, 0, 0, 0, 0, 0, 0, 7]),
        ("<i8", vec![7, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(read_labels(&npy(descr, &[1], &bytes)).unwrap().1, [7], "{descr}");
    }
    for (descr, bytes, value) in [
        ("|i1", vec![0xff], "-1"),
        ("<i8", vec![0xff; 8], "-1"),
        ("<u8", vec![0xff; 8], "18446744073709551615"),
        ("<u2", vec![0xe8, 0x03], "1000"),
    ] {
        let message = read_labels(&npy(descr, &[1], &bytes)).unwrap_err().to_string();
        assert_eq!(message, format!("label 0 is {value}; labels are 0 to 999"));
    }
}

#[test]
fn messages_say_what_is_there_and_what_is_needed() {
    let message = |bytes: &[u8]| read_inputs(bytes).unwrap_err().to_string();
    assert_eq!(message(b"PK"), "not an array in NumPy's format");
    assert_eq!(message(b"<html><body>"), "not an array in NumPy's format");
    let int = message(&npy("<i8", &[1], &[0; 8]));
    assert_eq!(
        int,
        "dtype `<i8` is not read here: inputs are uint8, float32 or float64; .astype(np.float32) makes them so"
    );
    let float = read_labels(&npy("<f4", &[1], &[0; 4])).unwrap_err().to_string();
    assert_eq!(float, "dtype `<f4` is not read here: labels are whole numbers; .astype(np.uint8) makes them so");
    for (value, index) in [(f32::NAN, 0), (f32::INFINITY, 0)] {
        let message = message(&npy("<f4", &[1], &value.to_le_bytes()));
        assert_eq!(message, format!("value {index} is not finite as a 32-bit number"));
    }
    assert!(message(&npy("<f8", &[1], &1e300f64.to_le_bytes())).contains("value 0 is not finite"));
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2), }";
    assert!(message(&npy_with_header(1, fortran, &[0; 2])).contains("Fortran order"));
    assert_eq!(message(&npy("|u1", &[2, 2], &[0; 3])), "shape [2, 2] promises 4 values, but there are fewer");
    assert_eq!(message(&npy("|u1", &[2, 2], &[0; 5])), "shape [2, 2] promises 4 values, but there are more");
    assert!(message(&npy("|u1", &[], &[0])).contains("0 axes; arrays have 1 to 4"));
    assert!(message(&npy_with_header(9, "{}", &[])).contains("version 9.0"));
    let nested = format!("{{'descr': {}", "[".repeat(4000));
    assert!(message(&npy_with_header(1, &nested, &[])).contains("not that of a plain array"));
}

#[test]
fn a_declared_size_is_judged_before_memory_is_taken() {
    let max = usize::MAX;
    for shape in [&[max, max][..], &[1 << 21], &[max]] {
        assert!(matches!(read_inputs(&npy("|u1", shape, &[])), Err(NpyError::TooLarge { .. })), "{shape:?}");
    }
    assert!(matches!(read_inputs(&npy("<f8", &[1 << 18], &[])), Err(NpyError::TooLarge { .. })), "8 bytes a value");
    assert!(matches!(read_inputs(&npy("<f4", &[1 << 18], &[])), Err(NpyError::Length { .. })));
    let long = [b"\x93NUMPY\x02\0".as_slice(), &u32::MAX.to_le_bytes()].concat();
    assert!(matches!(read_inputs(&long), Err(NpyError::Header(_))));
    let mut left = 10;
    inputs(&mut &npy("|u1", &[6], &[0; 6])[..], &mut left).unwrap();
    assert_eq!(left, 4, "arrays share what there is");
}

#[test]
fn headers_of_other_writers_are_read() {
    for text in [
        "{'shape':(2,),'fortran_order':False,'descr':'|u1'}",
        "{\"descr\": \"|u1\", \"fortran_order\": True, \"shape\": (2,)}  \n",
        "  { 'descr' : '<u1' , 'fortran_order' : False , 'shape' : ( 2 ) , }\n",
    ] {
        for version in [1, 2, 3] {
            assert_eq!(read_inputs(&npy_with_header(version, text, &[1, 2])).unwrap().0, [2], "{text}");
        }
    }
    for text in [
        "",
        "{}",
        "{'descr': '|u1', 'fortran_order': False}",
        "{'descr': 'u1', 'fortran_order': False}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), 'shape': (2,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': 'u', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2,)}",
    ] {
        assert!(matches!(read_inputs(&npy_with_header(1, text, &[1, 2])), Err(NpyError::Header(_))), "{text}");
    }
}

#[test]
fn an_odd_dtype_or_shape_is_named_without_the_header() {
    for (descr, shape, detail) in [
        ("[('a', '<f4')]", "(2,)", "its dtype is structured"),
        ("'|O'", "(2,)", "dtype `|O` (Python objects) is not read here"),
        ("'<U5'", "(2,)", "dtype `<U5` (texts) is not read here"),
        ("'<M8[ns]'", "(2,)", "dtype `<M8[ns]` (dates or times) is not read here"),
        ("'|b1'", "(2,)", "dtype `|b1` (true or false) is not read here"),
        ("'<c8'", "(2,)", "dtype `<c8` (complex numbers) is not read here"),
        ("'x'", "(2,)", "`x` is no dtype"),
        ("'<f4'", "(-1,)", "its shape has the axis `-1`; axes are whole numbers from 0"),
        ("'<f4'", "(1.5, 2)", "its shape has the axis `1.5`"),
        ("'<f4'", "(99999999999999999999,)", "its shape has the axis `99999999999999999999`"),
        ("'<f4'", "[2]", "its shape is no tuple"),
        ("'<f4'", "(1, 1, 1, 1, 1)", "5 axes; arrays have 1 to 4"),
    ] {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
        let message = read_inputs(&npy_with_header(1, &header, &[0; 8])).unwrap_err().to_string();
        assert!(message.contains(detail) && !message.contains("descr"), "{header}: {message}");
    }
}

proptest! {
    #[test]
    fn every_truncation_and_every_addition_is_an_error(
        values in prop::collection::vec(any::<u8>(), 1..200),
        cut: prop::sample::Index,
    ) {
        let bytes = npy("|u1", &[values.len()], &values);
        let (axes, read) = read_inputs(&bytes).unwrap();
        prop_assert!(axes == [values.len()] && read == Values::Bytes(values.into()));
        prop_assert!(read_inputs(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(read_inputs(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn no_mutation_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = npy("<f4", &[2, 3], &[0; 24]);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read_inputs(&bytes);
        let _ = read_labels(&bytes);
    }

    #[test]
    fn no_header_panics(text in "\\PC{0,80}", version in 0u8..5) {
        let _ = read_inputs(&npy_with_header(version, &text, &[0; 8]));
        let _ = read_inputs(text.as_bytes());
    }
}
