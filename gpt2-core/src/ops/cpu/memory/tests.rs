use super::*;

const LEN: usize = 1 << 16;

fn pool() -> &'static Pool {
    Box::leak(Box::new(Pool::new()))
}

fn idle(pool: &Pool) -> usize {
    pool.with(|shelves| {
        assert_eq!(shelves.idle.keys().map(|key| key.0).sum::<usize>(), shelves.idle_bytes);
        assert_eq!(shelves.idle.len(), shelves.ages.len());
        shelves.idle_bytes
    })
}

#[test]
fn memory_comes_back_when_the_last_tensor_is_dropped_and_is_used_again() {
    let pool = pool();
    let (mut buffer, is_fresh) = Buffer::of(pool, LEN);
    assert!(is_fresh && buffer.iter().all(|&x| x == 0.0));
    buffer.fill(3.0);
    let place = buffer.as_ptr();
    let tensor = buffer.into_tensor([2, LEN / 2]);
    let second = tensor.clone();
    drop(tensor);
    assert_eq!(idle(pool), 0);
    drop(second);
    assert_eq!(idle(pool), 4 * LEN);
    // A little less is served from it as well; much less, or more, is not.
    let (less, is_fresh) = Buffer::of(pool, LEN - 100);
    assert!(!is_fresh && less.as_ptr() == place && less[0] == 3.0);
    assert_eq!(less.len(), LEN - 100);
    drop(less);
    assert!(Buffer::of(pool, LEN / 2).1);
    assert!(Buffer::of(pool, LEN * 2).1);
}

#[test]
fn zeroed_means_zero_whatever_stood_there() {
    for len in [0, 1, 100, LEN, 3 * LEN + 1] {
        Buffer::new(len).fill(7.0);
        assert!(Buffer::zeroed(len).iter().all(|&x| x == 0.0));
    }
}

#[test]
fn buffers_begin_at_a_line_of_the_cache() {
    for len in [1, 17, 1000, LEN, LEN + 1, 1 << 20] {
        assert_eq!(Buffer::new(len).as_ptr() as usize % ALIGNMENT, 0, "{len}");
    }
}

#[test]
fn a_shared_tensor_is_copied_before_it_is_written_to() {
    for len in [10, LEN] {
        let pool = pool();
        let (mut buffer, _) = Buffer::of(pool, len);
        buffer.fill(1.0);
        let first = buffer.into_tensor([len]);
        let mut second = first.clone();
        second.storage_mut::<f32>().fill(2.0);
        assert!(first.storage::<f32>().iter().all(|&x| x == 1.0));
        assert!(second.storage::<f32>().iter().all(|&x| x == 2.0));
        assert_ne!(first.storage::<f32>().as_ptr(), second.storage::<f32>().as_ptr());
        // Alone it is written to where it lies, and its values come out whole.
        let place = second.storage::<f32>().as_ptr();
        second.storage_mut::<f32>()[len - 1] = 5.0;
        assert_eq!(second.storage::<f32>().as_ptr(), place);
        let values = second.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!((values.len(), values[0], values[len - 1]), (len, 2.0, 5.0));
        drop(first);
        assert_eq!(pool.with(|shelves| shelves.lent_bytes), 0);
    }
}

#[test]
fn what_lasts_is_no_part_of_the_pool_and_stays_with_its_copies() {
    let values: Vec<f32> = (0..LEN).map(|at| at as f32).collect();
    for len in [10, LEN] {
        let bytes = lasting(values[..len].to_vec());
        let mut tensor = FlexTensor::from_data(TensorData::from_bytes(bytes, [len], DType::F32));
        let shared = tensor.clone();
        tensor.storage_mut::<f32>()[0] = -1.0;
        assert_eq!(shared.storage::<f32>(), &values[..len]);
        assert_eq!(tensor.storage::<f32>()[1..], values[1..len]);
        assert_eq!(tensor.storage::<f32>()[0], -1.0);
    }
    assert!(Buffer::lasting(LEN).iter().all(|&x| x == 0.0));
}

#[test]
fn the_pool_does_not_grow_with_the_sizes_that_it_has_seen() {
    let pool = pool();
    for size in 1..200 {
        drop([LEN * size, LEN * (200 - size)].map(|len| Buffer::of(pool, len).0));
        let most = pool.with(|shelves| shelves.most_lent);
        // A buffer may be larger than what it is lent for.
        assert!((200 * 4 * LEN..=225 * 4 * LEN).contains(&most), "{most}");
        let idle = idle(pool);
        assert!((1..=most + SPARE.min(most / 2)).contains(&idle), "{idle} of {most}");
    }
    pool.release();
    assert_eq!(idle(pool), 0);
}

#[test]
fn a_buffer_that_nobody_asks_for_is_given_back() {
    let pool = pool();
    drop([Buffer::of(pool, 64 * LEN), Buffer::of(pool, LEN)]);
    assert_eq!(idle(pool), 65 * 4 * LEN);
    for _ in 0..KEPT_REQUESTS + 2 {
        assert!(!Buffer::of(pool, LEN).1);
    }
    assert_eq!(idle(pool), 4 * LEN);
}

#[test]
fn threads_never_share_a_buffer_and_steps_do_not_grow_the_pool() {
    let pool = pool();
    let step = |thread: usize| {
        let mut held: Vec<FlexTensor> = Vec::new();
        for at in 0..200 {
            let len = LEN + (at * 7 + thread) % 5 * LEN / 2;
            let mark = (1000 * thread + at) as f32;
            let (mut buffer, _) = Buffer::of(pool, len);
            buffer.fill(mark);
            held.push(buffer.into_tensor([len]));
            if held.len() > 3 {
                let oldest = held.remove(0);
                let values = oldest.storage::<f32>();
                assert!(values.iter().all(|&x| x == values[0]));
                assert_eq!(values[0], mark - 3.0);
            }
        }
    };
    let run = || {
        std::thread::scope(|scope| {
            (0..4).for_each(|thread| {
                scope.spawn(move || step(thread));
            });
        });
        idle(pool)
    };
    let most = |pool: &Pool| pool.with(|shelves| shelves.most_lent);
    for _ in 0..3 {
        assert!(run() <= most(pool) + SPARE.min(most(pool) / 2));
    }
    assert_eq!(pool.with(|shelves| shelves.lent_bytes), 0);
}
