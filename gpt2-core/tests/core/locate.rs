//! From what a person calls a model to its folder.

use std::fs;

use gpt2_core::{Error, ModelFolder};

fn refused(name: &str) -> String {
    let error = ModelFolder::locate(name, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NoFolder { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_folder_is_itself_whatever_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ModelFolder::locate(folder.path(), &mut |_| {}).unwrap(), folder.path());
}

#[test]
fn a_file_and_a_path_that_leads_nowhere_are_not_looked_for_on_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refused(file.to_str().unwrap()).ends_with("file: a file, expected a model folder"));
    for nowhere in ["./nowhere", "/no/where", "no/such/model", "nowhere/"] {
        let message = refused(nowhere);
        assert!(message.starts_with(&format!("{nowhere}: there is no such folder")), "{message}");
    }
}
