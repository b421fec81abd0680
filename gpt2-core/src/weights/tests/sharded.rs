use serde_json::{Value, json};

use super::*;

const INDEX: &str = "model.safetensors.index.json";

/// The parts of a sharded model: two shards and the map of their tensors.
fn parts() -> (Vec<Stored>, Vec<Stored>, Map<String, Value>) {
    let mut first = model();
    let second = first.split_off(10);
    let mut map = Map::new();
    map.extend(first.iter().map(|tensor| (tensor.name.clone(), json!("one.safetensors"))));
    map.extend(second.iter().map(|tensor| (tensor.name.clone(), json!("two.safetensors"))));
    (first, second, map)
}

fn folder(first: &[Stored], second: &[Stored], map: Map<String, Value>) -> tempfile::TempDir {
    let index = json!({"metadata": {"total_size": 0}, "weight_map": map}).to_string();
    folder_with(&[
        ("one.safetensors", &safetensors_file(first)),
        ("two.safetensors", &safetensors_file(second)),
        (INDEX, index.as_bytes()),
    ])
}

/// The refusal of an index that places `wte` in the given shard.
fn refusal_of(shard: &str) -> String {
    let (first, second, mut map) = parts();
    map["transformer.wte.weight"] = json!(shard);
    message(Checkpoint::open(folder(&first, &second, map).path()))
}

#[test]
fn shards_are_one_model() {
    let (first, second, map) = parts();
    let folder = folder(&first, &second, map);
    assert_is_model(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let shards = ["one.safetensors", "two.safetensors"].map(|name| folder.path().join(name));
    assert_eq!(checkpoint.files(), shards);
}

#[test]
fn an_index_cannot_point_outside_the_folder() {
    let outside = folder_with(&[("x.safetensors", &safetensors_file(&model()))]);
    let absolute = outside.path().join("x.safetensors");
    for shard in [absolute.to_str().unwrap(), "../x.safetensors", "./one.safetensors", "a/b", ".."]
    {
        assert!(refusal_of(shard).contains("not the plain name"), "{shard}");
    }
    for shard in ["", ".", "one.safetensors/", "..\\x.safetensors", "c:x.safetensors", "a\0b"] {
        assert!(refusal_of(shard).contains("not the plain name"), "{shard}");
    }
}

#[cfg(unix)]
#[test]
fn a_shard_cannot_be_a_link_out_of_the_folder() {
    use std::os::unix::fs::symlink;
    let (first, second, map) = parts();
    let outside = folder_with(&[("one", &safetensors_file(&first))]);
    let folder = folder(&first, &second, map);
    let shard = folder.path().join("one.safetensors");
    std::fs::remove_file(&shard).unwrap();
    symlink(outside.path().join("one"), shard).unwrap();
    assert!(message(Checkpoint::open(folder.path())).contains("leads out of this folder"));
}

#[cfg(unix)]
#[test]
fn a_snapshot_of_the_hub_cache_may_link_to_its_blobs() {
    use std::os::unix::fs::symlink;
    let (first, second, map) = parts();
    let files = folder(&first, &second, map);
    let repo = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (repo.path().join("blobs"), repo.path().join("snapshots/abc"));
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    for (name, blob) in [("one.safetensors", "1"), ("two.safetensors", "2"), (INDEX, "3")] {
        std::fs::copy(files.path().join(name), blobs.join(blob)).unwrap();
        symlink(format!("../../blobs/{blob}"), snapshot.join(name)).unwrap();
    }
    assert_is_model(&snapshot);
}

#[test]
fn a_missing_shard_is_named() {
    assert!(
        refusal_of("three.safetensors").contains("\"three.safetensors\" is not in this folder")
    );
}

#[test]
fn a_tensor_listed_in_the_wrong_shard_is_named() {
    let text = refusal_of("two.safetensors");
    assert!(text.contains("`transformer.wte.weight` is listed in two.safetensors"), "{text}");
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let (first, mut second, map) = parts();
    second.push(first[0].clone());
    let text = message(Checkpoint::open(folder(&first, &second, map).path()));
    assert!(text.contains("`transformer.wte.weight` lies in both"), "{text}");
}

#[test]
fn a_tensor_that_the_index_conceals_is_audited_all_the_same() {
    let (first, mut second, map) = parts();
    second.push(Stored::f32("surprise", &[1], &[0.0]));
    let text = message(load(folder(&first, &second, map).path(), &small()));
    assert!(text.contains("surprise is unknown"), "{text}");
}

#[test]
fn a_tensor_listed_twice_is_refused() {
    let index = r#"{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}"#;
    let folder = folder_with(&[(INDEX, index.as_bytes())]);
    assert!(message(Checkpoint::open(folder.path())).contains("`a` occurs twice"));
}

#[test]
fn an_index_that_is_no_index_is_refused() {
    for text in ["", "[]", "{}", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": 1}}"] {
        let folder = folder_with(&[(INDEX, text.as_bytes())]);
        assert!(message(Checkpoint::open(folder.path())).contains(INDEX), "{text}");
    }
}
