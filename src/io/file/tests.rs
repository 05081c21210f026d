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

#[test]
fn kernels_tell_of_failed_syncs_from_5_17_on() {
    for release in ["5.17.0-rc1", "5.19.0-28-amd64", "6.1.0", "6.18.5+", "10.0"] {
        assert!(tells_failed_syncs(release), "{release}");
    }
    for release in ["4.4.0", "4.19.300", "5.16.19", "3.10.0-1160.el7.x86_64", "", "next"] {
        assert!(!tells_failed_syncs(release), "{release}");
    }
}

#[test]
fn a_file_system_holds_what_is_on_its_device() {
    let memory = "/dev/shm".as_ref();
    let file_system = match Disk::new().file_system(memory) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            assert!(error.to_string().starts_with("Linux 5.17 or newer expected"), "{error}");
            return println!("SKIPPED: {error}");
        }
        other => other.unwrap(),
    };
    file_system.sync().unwrap();
    assert!(file_system.holds(memory).unwrap());
    assert!(!file_system.holds("/proc".as_ref()).unwrap());
    assert!(file_system.holds("/dev/shm/none".as_ref()).is_err());
    assert!(Disk::new().file_system("/dev/shm/none".as_ref()).is_err());
    assert_eq!(Disk::new().file_system("/proc".as_ref()).unwrap_err().kind(), io::ErrorKind::Unsupported);
}
