//! What a caller of the seam cannot reach on a full-featured file system: the ways out for lesser ones.

use super::*;

#[test]
fn a_rename_by_link_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, "new").unwrap();
    rename_by_link(&from, &to).unwrap();
    assert!(!from.exists());
    assert_eq!(fs::read(&to).unwrap(), b"new");

    fs::write(&from, "newer").unwrap();
    assert_eq!(rename_by_link(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"newer".to_vec(), b"new".to_vec()));
}

#[test]
fn a_rename_of_a_directory_by_look_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::create_dir(&from).unwrap();
    rename_by_link(&from, &to).unwrap();
    assert!(to.is_dir());

    fs::create_dir(&from).unwrap();
    assert_eq!(rename_by_link(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(from.is_dir());
}

#[test]
fn the_boot_has_an_identity() {
    let first = boot_id().unwrap();
    assert_ne!(first, [0; 16]);
    assert_eq!(boot_id(), Some(first));
}
