//! `gpt2 convert`.

use std::fs;

use super::support::{Place, model, names, read_json};

const FILES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
];

#[test]
fn every_format_becomes_the_same_folder() {
    let place = Place::new();
    let published = fs::read(format!("{}/model.safetensors", model("bbpe"))).unwrap();
    let tensors = |bytes: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let mut list: Vec<(String, Vec<u8>)> = file
            .iter()
            .map(|(name, view)| (name.replace("transformer.", ""), view.data().to_vec()))
            .collect();
        list.sort();
        list
    };
    for name in ["bbpe", "bbpe-bin", "bbpe-bin-legacy", "bbpe-h5", "bbpe-noprefix", "bbpe-sharded"]
    {
        let ran = place.ok(&["convert", &model(name), "--output", name]);
        assert_eq!((ran.stdout.as_str(), ran.stderr), ("", format!("wrote {name}\n")));
        assert_eq!(names(&place.path(name)), FILES, "{name}");
        let written = fs::read(place.path(name).join("model.safetensors")).unwrap();
        assert!(tensors(&written) == tensors(&published), "{name}: other tensors");
    }
    assert_eq!(place.names().len(), 6, "{:?}", place.names());
}

#[test]
fn half_precision_is_written_and_said_so() {
    let (place, folder) = (Place::new(), model("bbpe"));
    for (dtype, stored, name) in [("f16", "F16", "float16"), ("bf16", "BF16", "bfloat16")] {
        let args = ["convert", &folder, "--output", dtype, "--dtype", dtype, "--json"];
        let ran = place.ok(&args);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
        assert_eq!(place.json(&["info", dtype])["weights"]["dtype"], stored);
        assert_eq!(read_json(&place.path(dtype).join("config.json"))["dtype"], name);
    }
}

#[test]
fn generation_defaults_and_card_come_along() {
    let (place, source) = (Place::new(), model("bbpe"));
    fs::create_dir(place.path("source")).unwrap();
    for name in names(source.as_ref()) {
        fs::copy(format!("{source}/{name}"), place.path("source").join(name)).unwrap();
    }
    // What this version does not implement is no reason to lose it, or to call the folder wrong.
    place.write("source/generation_config.json", r#"{"num_beams": 4, "eos_token_id": 0}"#);
    place.write("source/README.md", b"# A card \xff");
    place.ok(&["convert", "source", "--output", "new"]);
    assert_eq!(read_json(&place.path("new/generation_config.json"))["num_beams"], 4);
    place.ok(&["info", "new"]);
    assert!(fs::read_to_string(place.path("new/README.md")).unwrap().starts_with("# A card"));
}

#[test]
fn an_earlier_model_is_replaced_and_missing_parents_are_made() {
    let (place, folder) = (Place::new(), model("bbpe"));
    place.ok(&["convert", &folder, "--output", "a/b/c", "--dtype", "f16"]);
    place.ok(&["convert", &folder, "--output", "a/b/c"]);
    assert_eq!(place.json(&["info", "a/b/c"])["weights"]["dtype"], "F32");
    assert_eq!(names(&place.path("a/b")), ["c"]);
}

#[test]
fn what_must_not_be_replaced_is_kept() {
    let (place, folder) = (Place::new(), model("bbpe"));
    place.write("file", "text");
    fs::create_dir(place.path("other")).unwrap();
    place.write("other/thesis.txt", "text");
    place.ok(&["convert", &folder, "--output", "model", "--quiet"]);
    for (source, output, part) in [
        (folder.as_str(), "file", "file (a file), expected a new path"),
        (&folder, "file/below", "file: cannot create"),
        (&folder, "other", "other (a folder with other content)"),
        (&folder, ".", ".,"),
        ("model", "model", "`output` is model, expected another place than model, which is read"),
        ("model", "other/../model", "which is read"),
    ] {
        place.refused(&["convert", source, "--output", output], &[part]);
    }
    assert_eq!(names(&place.path("other")), ["thesis.txt"]);
    assert_eq!(names(&place.path("model")), FILES);
}
