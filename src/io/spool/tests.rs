use proptest::prelude::*;

use super::*;
use crate::core::testing::{damaged, one_in, peak_memory_bytes};
use crate::core::{ErrorKind, ItemError};
use crate::io::fixtures;

/// Files of a spool with two samples and two lines of rejects.
fn written(folder: &Path) -> (PathBuf, PathBuf) {
    let (columns, context) = (fixtures::columns(), fixtures::context());
    let scene = fixtures::scene("video");
    let mut spool = SpoolWriter::create(folder, 3, "key").unwrap();
    for number in [1, 0] {
        let sample = fixtures::sample(&scene, number);
        let path = ItemPath::root(3).child(number);
        spool.sample(&path, &sample, &columns, &context).unwrap();
        let error = ItemError::new(ErrorKind::Corrupt, "damage");
        spool.fail(&path.child(9), "split", &error).unwrap();
    }
    let files = spool.finish().unwrap();
    let path = |name: Option<String>| folder.join(name.unwrap());
    (path(files.samples), path(files.rejects))
}

#[test]
fn samples_come_back_in_the_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let (samples, rejects) = written(folder.path());
    let mut reader = SpoolReader::open(&samples).unwrap();
    let order: Vec<String> = reader
        .order
        .iter()
        .map(|(path, _, _)| path.to_string())
        .collect();
    assert_eq!(order, ["3_0", "3_1"]);
    assert_eq!(reader.read(1).unwrap().num_rows(), 1);
    assert!(reader.read(2).is_err());
    assert_eq!(read_rejects(&rejects).unwrap().len(), 2);
}

mod prop {
    use super::*;

    fn files() -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (samples, rejects) = written(folder.path());
        (fs::read(samples).unwrap(), fs::read(rejects).unwrap())
    }

    proptest! {
        #![proptest_config(one_in(4))]

        #[test]
        fn a_damaged_spool_is_read_or_an_error_names_it(
            (samples, rejects) in Just(files()).prop_flat_map(|(a, b)| (damaged(a), damaged(b))),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            crate::store::publish_bytes(&path("a.arrow"), &samples).unwrap();
            crate::store::publish_bytes(&path("a.jsonl"), &rejects).unwrap();
            match SpoolReader::open(&path("a.arrow")) {
                Ok(mut reader) => {
                    for at in 0..reader.order.len() {
                        if let Err(error) = reader.read(at) {
                            prop_assert!(error.to_string().contains("a.arrow: "), "{}", error);
                        }
                    }
                }
                Err(error) => prop_assert!(error.to_string().contains("a.arrow: "), "{}", error),
            }
            if let Err(error) = read_rejects(&path("a.jsonl")) {
                prop_assert!(error.to_string().contains("a.jsonl: "), "{}", error);
            }
            prop_assert!(peak_memory_bytes() < 4 << 30);
        }
    }
}
