//! Counting words, as rustc compiles it: slices whose bounds it checks itself, iterators, String, Vec, HashMap, a sort.
use std::collections::HashMap;
use std::env;

fn next_random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

/// A text of words of one to eight letters; few words are frequent, many are rare.
fn text(words: usize, state: &mut u32) -> String {
    let mut made = String::new();
    for _ in 0..words {
        let mut word = next_random(state) % (1 + next_random(state) % 5000);
        for _ in 0..1 + word % 8 {
            made.push((b'a' + (word % 26) as u8) as char);
            word = word / 3 + 7;
        }
        made.push(if word % 11 == 0 { '\n' } else { ' ' });
    }
    made
}

fn main() {
    let rounds: u32 = env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(50);
    let mut state = 2463534242u32;
    let mut sum = 0u64;
    for _ in 0..rounds {
        let text = text(20_000, &mut state);
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word).or_insert(0) += 1;
        }
        let mut sorted: Vec<(&str, u32)> = counts.into_iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        for (rank, (word, count)) in sorted.iter().enumerate() {
            for letter in word.bytes() {
                sum = sum.wrapping_mul(31).wrapping_add(letter as u64);
            }
            sum = sum.wrapping_add(rank as u64 * *count as u64);
        }
        let lengths = text.lines().map(|line| line.trim_end().len()).max();
        sum ^= lengths.unwrap_or(0) as u64;
    }
    println!("{:016x}", sum);
}
