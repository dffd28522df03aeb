//! Particles in a box and a grid that counts them, as rustc compiles it: vectors of structures, nested vectors, iterators
//! zipped and chunked, indices that it checks against lengths in memory.
use std::env;

#[derive(Clone, Copy)]
struct Particle {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

const GRID: usize = 16;

fn step(particles: &mut [Particle], grid: &mut [Vec<f64>], time: f64) {
    for row in grid.iter_mut() {
        for cell in row.iter_mut() {
            *cell *= 0.5;
        }
    }
    for p in particles.iter_mut() {
        for (x, v) in p.position.iter_mut().zip(p.velocity.iter_mut()) {
            *x += *v * time;
            if *x < 0.0 || *x >= 1.0 {
                *v = -*v;
                *x = x.clamp(0.0, 0.999999);
            }
        }
        let column = (p.position[0] * GRID as f64) as usize;
        let row = (p.position[1] * GRID as f64) as usize;
        grid[row][column] += p.mass;
        p.velocity[2] -= 0.001 * grid[row][column];
    }
}

fn main() {
    let rounds: u32 = env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(8000);
    let mut state = 88675123u32;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f64 / 4294967296.0
    };
    let mut particles: Vec<Particle> = (0..2000)
        .map(|_| Particle {
            position: [number(), number(), number()],
            velocity: [number() - 0.5, number() - 0.5, number() - 0.5],
            mass: number() + 0.1,
        })
        .collect();
    let mut grid = vec![vec![0.0; GRID]; GRID];
    for _ in 0..rounds {
        step(&mut particles, &mut grid, 0.01);
    }
    let heavy = particles.chunks(7).map(|c| c.iter().map(|p| p.mass * p.position[2]).sum::<f64>());
    let sum = heavy.fold(0.0, f64::max) + grid.iter().flatten().sum::<f64>();
    println!("{:016x}", sum.to_bits());
}
