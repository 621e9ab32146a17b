// What the Python binding (native.cpp) hands to a kernel (kernel.cpp, compiled once per instruction set).
#pragma once

#include "../native/types.hpp"

namespace bridgeflow::resample {

// Output i of a row is the sum over k = 0, 1, ..., taps - 1, in this order, of
//
//     table[(phase + i * down) % up][k] * x[first + (phase + i * down) / up + k]
//
// where x counts as zero outside of [0, samples).
struct Job {
    bool single_precision = false;  // x, y and table are float32, else float64
    bool fused = false;             // a product and its sum are rounded once
    const void* x = nullptr;
    void* y = nullptr;
    index rows = 0, x_row = 0, y_row = 0;  // samples from row to row; within a row they lie side by side
    index samples = 0, outputs = 0;

    const void* table = nullptr;  // [up, taps]; or [pieces, 4, taps]
    index pieces = 0;             // if not 0, the taps at t = pieces * phase / up are cubic polynomials of t - floor(t), lowest power first
    index up = 1, down = 1, taps = 1;
    index phase = 0;  // 0 <= phase < up
    index first = 0;
};

struct Kernel {
    const char* name;
    int vector_bytes;
    bool (*supported)();
    bool (*run)(const Job&);  // false: no memory
};

}  // namespace bridgeflow::resample
