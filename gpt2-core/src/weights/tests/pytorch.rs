//! Pickles and their containers are put together opcode by opcode: `}` is an empty dictionary, `(`
//! a mark, `X` a string, `J` an integer, `c` a global, `t` a tuple, `R` a call, `Q` a storage.

use super::*;
use crate::Error;
use crate::error::TensorProblem;

const FILE: &str = "pytorch_model.bin";

fn string(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(value: usize) -> Vec<u8> {
    [b"J".as_slice(), &(value as i32).to_le_bytes()].concat()
}

fn ints(list: &[usize]) -> Vec<u8> {
    [b"(".to_vec(), list.iter().flat_map(|&n| int(n)).collect(), b"t".to_vec()].concat()
}

fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = items.iter().flat_map(|(key, value)| [string(key), value.clone()].concat());
    [b"}(".to_vec(), pairs.collect(), b"u".to_vec()].concat()
}

fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// The call that rebuilds a tensor from storage `key` of `size` elements.
fn tensor(class: &str, key: &str, size: usize, shape: &[usize], stride: &[usize]) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        string("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        string(key),
        string("cpu"),
        int(size),
        b"tQ".to_vec(),
        int(0),
        ints(shape),
        ints(stride),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    (1..=shape.len()).map(|i| shape[i..].iter().product()).collect()
}

/// The state dict of [`model`]; tensor number `i` has storage `i`.
fn state_dict() -> Vec<u8> {
    let model = model();
    let items: Vec<_> = model
        .iter()
        .enumerate()
        .map(|(i, stored)| {
            let size = stored.bytes.len() / 4;
            let stride = contiguous(&stored.shape);
            let value = tensor("FloatStorage", &i.to_string(), size, &stored.shape, &stride);
            (stored.name.as_str(), value)
        })
        .collect();
    dict(&items)
}

/// A zip archive of stored entries, without checksums, as `torch.save` can write it.
fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let (offset, size) = (out.len() as u32, bytes.len() as u32);
        let mut common = Vec::new();
        for field in [20u16, 0, 0, 0, 0x21] {
            common.extend(field.to_le_bytes());
        }
        for field in [0, size, size] {
            common.extend(u32::to_le_bytes(field));
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), bytes].concat());
        central.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 10]].concat());
        central.extend([&offset.to_le_bytes()[..], name.as_bytes()].concat());
    }
    let (start, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&central);
    out.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count.to_le_bytes()].concat());
    out.extend([&count.to_le_bytes()[..], &(central.len() as u32).to_le_bytes()].concat());
    out.extend([&start.to_le_bytes()[..], &[0; 2]].concat());
    out
}

/// A checkpoint of PyTorch 1.6 or later: a pickle, and the storages of [`model`].
fn archive(root: &[u8]) -> Vec<u8> {
    let mut entries = vec![("archive/data.pkl".to_string(), pickle(root))];
    for (i, stored) in model().into_iter().enumerate() {
        entries.push((format!("archive/data/{i}"), stored.bytes));
    }
    zip(&entries)
}

/// A checkpoint of an older release: pickles and storages one after the other.
fn stream(root: &[u8]) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let info = dict(&[("little_endian", b"\x88".to_vec())]);
    let model = model();
    let keys: Vec<u8> = (0..model.len()).flat_map(|i| string(&i.to_string())).collect();
    let keys = [b"](".to_vec(), keys, b"e".to_vec()].concat();
    let pickles = [magic.to_vec(), int(1001), info, root.to_vec(), keys];
    let mut file: Vec<u8> = pickles.iter().flat_map(|value| pickle(value)).collect();
    for stored in model {
        file.extend((stored.bytes.len() as u64 / 4).to_le_bytes());
        file.extend(stored.bytes);
    }
    file
}

fn refusal(file: &[u8]) -> String {
    let folder = folder_with(&[(FILE, file)]);
    let text = message(Checkpoint::open(folder.path()));
    assert!(text.contains("malformed pytorch_model.bin: "), "{text}");
    text
}

#[test]
fn both_containers_are_read_exactly() {
    for file in [archive(&state_dict()), stream(&state_dict())] {
        let folder = folder_with(&[(FILE, &file)]);
        assert_is_model(folder.path());
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!((checkpoint.format().name(), checkpoint.dtype()), ("pytorch", "F32"));
    }
}

#[test]
fn a_nested_state_dict_is_found_and_what_lies_beside_it_is_left() {
    let moment = tensor("FloatStorage", "0", 20, &[20], &[1]);
    let optimizer = dict(&[("exp_avg", moment), ("step", int(3))]);
    for depth in 1..4 {
        let mut root = state_dict();
        for name in ["state_dict", "model", "checkpoint"].iter().take(depth) {
            root = dict(&[(name, root), ("optimizer", optimizer.clone()), ("epoch", int(7))]);
        }
        assert_is_model(folder_with(&[(FILE, &archive(&root))]).path());
    }
}

#[test]
fn two_models_in_one_file_are_refused() {
    let root = dict(&[("model", state_dict()), ("average", state_dict())]);
    assert!(refusal(&archive(&root)).contains("more than one model"));
}

#[test]
fn a_transposed_view_is_read_in_its_own_order() {
    let mut model = model();
    let view = tensor("FloatStorage", "0", 20, &[5, 4], &[1, 5]);
    let root = dict(&[("wte.weight", view)]);
    let bytes = model.swap_remove(0).bytes;
    let file = zip(&[
        ("archive/data.pkl".to_string(), pickle(&root)),
        ("archive/data/0".to_string(), bytes),
    ]);
    let folder = folder_with(&[(FILE, &file)]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.read_entry(0).unwrap();
    let stored = values("wte.weight", &[20]);
    let expected: Vec<f32> = (0..20).map(|i| stored[i / 4 + 5 * (i % 4)]).collect();
    assert_eq!(found, expected);
}

#[test]
fn code_in_a_pickle_is_refused_and_never_run() {
    let mark = std::env::temp_dir().join(format!("gpt2-never-{}", std::process::id()));
    let command = string(&format!("touch {}", mark.display()));
    for callable in ["posix\nsystem", "os\nsystem", "builtins\neval", "__builtin__\nexec"] {
        let call = [format!("c{callable}\n(").as_bytes(), &command, b"tR".as_slice()].concat();
        let beside = [state_dict(), string("x"), call.clone(), b"s".to_vec()].concat();
        for root in [call.clone(), dict(&[("x", call.clone())]), beside] {
            refusal(&archive(&root));
            refusal(&stream(&root));
        }
        // A call whose result is thrown away leaves the weights as they are, and no trace.
        let thrown = [call, b"0".to_vec(), state_dict()].concat();
        assert_is_model(folder_with(&[(FILE, &archive(&thrown))]).path());
    }
    assert!(!mark.exists());
}

#[test]
fn a_storage_smaller_than_its_tensor_is_refused() {
    let tensor = tensor("FloatStorage", "0", 20, &[255, 255], &[255, 1]);
    refusal(&archive(&dict(&[("wte.weight", tensor)])));
}

#[test]
fn a_storage_shorter_than_declared_is_refused_when_it_is_read() {
    let root = dict(&[("wte.weight", tensor("FloatStorage", "0", 21, &[21], &[1]))]);
    let folder = folder_with(&[(FILE, &archive(&root))]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(message(checkpoint.read_entry(0)).contains("malformed"));
}

#[test]
fn a_tensor_that_repeats_its_storage_into_gigabytes_is_refused() {
    let tensor = tensor("FloatStorage", "0", 20, &[1 << 14, 1 << 14], &[0, 0]);
    assert!(refusal(&archive(&dict(&[("wte.weight", tensor)]))).contains("would unpack to"));
}

#[test]
fn many_tensors_cannot_share_a_storage_into_gigabytes() {
    let names: Vec<String> = (0..500).map(|i| format!("h.{i}.x")).collect();
    let one = tensor("FloatStorage", "0", 20, &[20], &[1]);
    let items: Vec<_> = names.iter().map(|name| (name.as_str(), one.clone())).collect();
    let file = archive(&dict(&items));
    assert!(file.len() < 500 * 20 * 4 * 3);
    let wide = tensor("FloatStorage", "0", 20, &[1000], &[0]);
    let items: Vec<_> = names.iter().map(|name| (name.as_str(), wide.clone())).collect();
    assert!(refusal(&archive(&dict(&items))).contains("would unpack to"));
}

#[test]
fn a_stack_underflow_is_refused() {
    assert!(refusal(&archive(b"tRu")).contains("stack"));
}

#[test]
fn a_pickle_nested_without_end_does_not_overflow_the_stack() {
    refusal(&archive(&[b"]".repeat(100_000), b"a".repeat(99_999)].concat()));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for file in [archive(&state_dict()), stream(&state_dict())] {
        for end in (0..file.len() - 1).step_by(97) {
            refusal(&file[..end]);
        }
    }
}

#[test]
fn text_is_no_pickle() {
    refusal(b"weights, honestly");
}

#[test]
fn integers_are_no_weights() {
    let root = dict(&[("wte.weight", tensor("IntStorage", "0", 20, &[5, 4], &[4, 1]))]);
    let folder = folder_with(&[(FILE, &archive(&root))]);
    let Err(Error::Weights { problems, .. }) = load(folder.path(), &small()) else {
        panic!("the file was accepted");
    };
    let (name, found) = ("wte.weight".to_string(), "I32".to_string());
    assert!(problems.contains(&TensorProblem::DType { name, found }), "{problems:?}");
}
