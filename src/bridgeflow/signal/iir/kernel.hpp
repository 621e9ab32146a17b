// What the Python binding (native.cpp) hands to a kernel (kernel.cpp, compiled once per instruction set).
#pragma once

#include "../native/types.hpp"

#include <cstdint>

namespace bridgeflow {

enum class Padding : std::uint8_t { none, odd, even, constant };

// One axis of rows, with the distance in bytes from one row to the next. Complex data have an axis of two more: real and
// imaginary part are rows of their own, for the coefficients are real.
struct Axis {
    index size, x, y, zi, zf;
};

struct Job {
    static constexpr int max_axes = 66;  // NumPy's 64, less time, and the parts of complex numbers

    int axes = 0;
    Axis axis[max_axes];  // outermost first
    index rows = 1;       // the product of all sizes

    index samples = 0;
    const char* x = nullptr;
    char* y = nullptr;  // null: only the final state is wanted
    index x_step = 0, y_step = 0;
    Scalar x_type = Scalar::f64, y_type = Scalar::f64;
    bool single_precision = false;  // recursion, state and coefficients in float32, else in float64

    const double* sos = nullptr;  // [filters, sections, 6], a0 == 1
    index filters = 1, sections = 0;
    index y_filter = 0, zi_filter = 0, zf_filter = 0;  // bytes from what belongs to a filter to the same of the next
    const char* zi = nullptr;  // null: start from zero. Of the recursion's type, as zf.
    char* zf = nullptr;        // null: not wanted
    index zi_section = 0, zi_pair = 0, zf_section = 0, zf_pair = 0;

    bool affine = false;  // filter scale * x + offset, computed in float64
    bool complex = false;  // offset then goes to the real parts, the even rows, alone
    double scale = 1, offset = 0;

    bool both_ways = false;  // forwards over the padded row, then backwards, as scipy.signal.sosfiltfilt
    Padding padding = Padding::none;
    index padlen = 0;
    const double* steady = nullptr;  // [sections, 2], the state after a constant 1
};

enum class Outcome : std::uint8_t { done, no_memory };

struct Kernel {
    const char* name;
    int vector_bytes;
    bool (*supported)();
    Outcome (*run)(const Job&, index first_row, index last_row);
};

}  // namespace bridgeflow
