//! HDF5 files are put together here from the oldest superblock and object headers with link
//! messages, which is little but enough for groups and contiguous datasets.

use std::collections::BTreeMap;

use super::*;

const FILE: &str = "tf_model.h5";
const UNDEFINED: [u8; 8] = [0xff; 8];

/// A tree of groups with datasets for leaves.
enum Node {
    Group(BTreeMap<String, Node>),
    Data(Stored),
}

fn group() -> Node {
    Node::Group(BTreeMap::new())
}

impl Node {
    /// Puts a node at a path, with the groups that lead there.
    fn put(&mut self, path: &str, node: Node) {
        let Self::Group(children) = self else { panic!("{path} leads through a dataset") };
        match path.split_once('/') {
            None => drop(children.insert(path.to_string(), node)),
            Some((first, rest)) => {
                children.entry(first.to_string()).or_insert_with(group).put(rest, node);
            }
        }
    }

    /// Appends the node to a file and returns its address.
    fn write(&self, file: &mut Vec<u8>) -> u64 {
        let messages = match self {
            Self::Group(children) => {
                let mut messages = vec![(2u16, [&[0, 0], &UNDEFINED[..], &UNDEFINED].concat())];
                for (name, child) in children {
                    let address = child.write(file);
                    messages.push((6, link(name, address)));
                }
                messages
            }
            Self::Data(stored) => {
                let (address, size) = (file.len() as u64, stored.bytes.len() as u64);
                file.extend(&stored.bytes);
                let mut space = vec![1, stored.shape.len() as u8, 0, 0, 0, 0, 0, 0];
                space.extend(stored.shape.iter().flat_map(|&n| (n as u64).to_le_bytes()));
                let layout = [&[3, 1], &address.to_le_bytes()[..], &size.to_le_bytes()].concat();
                vec![(1, space), (3, datatype(stored.dtype)), (8, layout)]
            }
        };
        object_header(file, messages)
    }
}

fn link(name: &str, address: u64) -> Vec<u8> {
    [&[1, 0, name.len() as u8], name.as_bytes(), &address.to_le_bytes()].concat()
}

fn datatype(dtype: &str) -> Vec<u8> {
    match dtype {
        "F32" => vec![0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0],
        "F16" => vec![0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0],
        "I32" => vec![0x10, 0x08, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0],
        other => panic!("no datatype {other}"),
    }
}

fn object_header(file: &mut Vec<u8>, messages: Vec<(u16, Vec<u8>)>) -> u64 {
    file.resize(file.len().next_multiple_of(8), 0);
    let address = file.len() as u64;
    let count = messages.len() as u16;
    let mut body = Vec::new();
    for (kind, mut content) in messages {
        content.resize(content.len().next_multiple_of(8), 0);
        body.extend(kind.to_le_bytes());
        body.extend((content.len() as u16).to_le_bytes());
        body.extend([0; 4]);
        body.extend(content);
    }
    file.extend([1, 0]);
    file.extend(count.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend((body.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(body);
    address
}

fn hdf5(root: &Node) -> Vec<u8> {
    let mut file = vec![0; 96];
    let address = root.write(&mut file);
    let mut block = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0".to_vec();
    block.extend([0; 8]);
    block.extend(UNDEFINED);
    block.extend((file.len() as u64).to_le_bytes());
    block.extend(UNDEFINED);
    block.extend([0; 8]);
    block.extend(address.to_le_bytes());
    file[..block.len()].copy_from_slice(&block);
    file
}

/// [`model`] as Keras lays it out, with the names of early or late releases.
fn keras(class: &str, late: bool) -> Node {
    let mut root = group();
    for (mut stored, (name, shape)) in model().into_iter().zip(names::parameters(&small())) {
        let (module, leaf) = name.rsplit_once('.').unwrap();
        let leaf = match (module, leaf) {
            ("wte" | "wpe", _) if late => "embeddings",
            (module, "weight") if module.contains("ln_") => "gamma",
            (module, "bias") if module.contains("ln_") => "beta",
            (_, leaf) => leaf,
        };
        if leaf == "bias" {
            stored.shape = vec![1, shape[0]];
        }
        let module = module.replace('.', "/").replace("h/", "h_._");
        let path = format!("transformer/{class}/transformer/{module}/{leaf}:0");
        root.put(&path, Node::Data(stored));
    }
    root.put("top_level_model_weights", group());
    root
}

#[test]
fn the_layouts_of_early_and_late_releases_are_read_exactly() {
    for (class, late) in [("tfgp_t2lm_head_model", false), ("tfgpt2lm_head_model_1", true)] {
        let folder = folder_with(&[(FILE, &hdf5(&keras(class, late)))]);
        assert_is_model(folder.path());
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!((checkpoint.format().name(), checkpoint.dtype()), ("tensorflow", "F32"));
    }
}

#[test]
fn a_dataset_that_is_no_weight_is_unknown() {
    let mut root = keras("tfgpt2lm_head_model", true);
    root.put("summary/kernel:0", Node::Data(Stored::f32("", &[1], &[0.0])));
    let text = message(load(folder_with(&[(FILE, &hdf5(&root))]).path(), &small()));
    assert!(text.contains("summary/kernel:0 is unknown"), "{text}");
}

#[test]
fn integers_are_no_weights() {
    let mut root = keras("tfgpt2lm_head_model", true);
    let mut stored = Stored::f32("", &[4], &[0.0; 4]);
    stored.dtype = "I32";
    root.put("transformer/tfgpt2lm_head_model/transformer/ln_f/beta:0", Node::Data(stored));
    let text = message(load(folder_with(&[(FILE, &hdf5(&root))]).path(), &small()));
    assert!(text.contains("ln_f.bias has element type I32"), "{text}");
}

#[test]
fn a_weight_under_two_classes_is_ambiguous() {
    let mut root = keras("tfgpt2lm_head_model", true);
    let stored = Stored::f32("", &[4], &[0.0; 4]);
    root.put("transformer/another/transformer/ln_f/beta:0", Node::Data(stored));
    let text = message(load(folder_with(&[(FILE, &hdf5(&root))]).path(), &small()));
    assert!(text.contains("ln_f.bias is unknown"), "{text}");
}

#[test]
fn a_dataset_larger_than_the_file_is_refused() {
    let mut root = group();
    let mut stored = Stored::f32("", &[4], &[0.0; 4]);
    stored.shape = vec![1 << 40];
    root.put("wte/weight:0", Node::Data(stored));
    let text = message(Checkpoint::open(folder_with(&[(FILE, &hdf5(&root))]).path()));
    assert!(text.contains("malformed HDF5"), "{text}");
}

#[test]
fn a_group_that_contains_itself_is_refused() {
    let mut file = vec![0; 96];
    let inner = group().write(&mut file);
    let outer = object_header(
        &mut file,
        vec![
            (2, [&[0, 0], &UNDEFINED[..], &UNDEFINED].concat()),
            (6, link("loop", inner)),
            (6, link("loop2", inner)),
        ],
    );
    let mut whole = hdf5(&group());
    whole.truncate(96);
    whole[64..72].copy_from_slice(&outer.to_le_bytes());
    whole.extend(&file[96..]);
    let length = (whole.len() as u64).to_le_bytes();
    whole[40..48].copy_from_slice(&length);
    let text = message(Checkpoint::open(folder_with(&[(FILE, &whole)]).path()));
    assert!(text.contains("is reached by two paths"), "{text}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = hdf5(&keras("tfgpt2lm_head_model", true));
    for end in (0..file.len() - 1).step_by(97) {
        let folder = folder_with(&[(FILE, &file[..end])]);
        message(load(folder.path(), &small()));
    }
}

#[test]
fn noise_after_the_signature_is_refused() {
    let mut file = hdf5(&keras("tfgpt2lm_head_model", true));
    let mut state = 1u32;
    for byte in &mut file[8..] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let text = message(Checkpoint::open(folder_with(&[(FILE, &file)]).path()));
    assert!(text.contains("malformed HDF5"), "{text}");
}
