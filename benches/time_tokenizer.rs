//! Times a tokenizer for `compare_tokenizers.py`: `time_tokenizer FOLDER FILE..`.
//!
//! For each line on standard input, which names a call, the call is made once, on all lines of the files, and its
//! seconds are printed. `RAYON_NUM_THREADS` sets the threads.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use gpt2_core::tokenizer::Tokenizer;
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let tokenizer = Tokenizer::from_folder(args.next().ok_or("expected a tokenizer's folder")?)?;
    let texts: Vec<String> = args.map(std::fs::read_to_string).collect::<Result<_, _>>()?;
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let ids = encode_ids(&tokenizer, &lines)?;
    for call in stdin().lock().lines() {
        let start = Instant::now();
        match call?.as_str() {
            "encode_batch" => drop(black_box(tokenizer.encode_batch(&lines)?)),
            "encode_ids" => drop(black_box(encode_ids(&tokenizer, &lines)?)),
            "decode" => {
                let decode = |ids: &Vec<u32>| tokenizer.decode(ids, false);
                drop(black_box(ids.par_iter().map(decode).collect::<Result<Vec<_>, _>>()?));
            }
            other => return Err(format!("no call {other:?}").into()),
        }
        println!("{}", start.elapsed().as_secs_f64());
        stdout().flush()?;
    }
    Ok(())
}

/// The ids of every line, as a corpus is tokenized.
fn encode_ids(tokenizer: &Tokenizer, lines: &[&str]) -> Result<Vec<Vec<u32>>, gpt2_core::Error> {
    lines.par_iter().map(|line| tokenizer.encode_ids(line)).collect()
}
