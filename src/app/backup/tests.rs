//! Claims about a copy while the instance key is changed.

use super::*;

#[test]
fn a_copy_during_which_the_key_was_changed_is_no_backup_and_one_with_the_keyring_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join(KEY), "the new key").unwrap();
    std::fs::write(data.join(KEYRING), "what it opens").unwrap();
    let copy = |name: &str, before: &str| {
        let target = folder.path().join(name);
        files::make_empty(&target).unwrap();
        files::make_private(&target.join(files::DATABASE)).unwrap();
        let key = Key::File(Some(before.into()));
        (copy_files(&data, &target, &key, (Engine::Sqlite, String::new())), target)
    };
    let (refused, target) = copy("changed", "the old key");
    assert!(matches!(refused, Err(BackupError::KeyChanged)), "{refused:?}");
    assert!(!target.join(files::LIST).exists(), "it could be put back");
    let (done, target) = copy("same", "the new key");
    assert!(done.unwrap().has_key);
    for (name, text) in [(KEY, "the new key"), (KEYRING, "what it opens")] {
        assert_eq!(std::fs::read_to_string(target.join(name)).unwrap(), text);
    }
    let list = check(&target, Some("the new key")).unwrap();
    assert!(list.files.iter().any(|entry| entry.path == KEYRING), "it is put back, too");
}
