// The Python binding of the kernel: buffers in, a Job out, rows or outputs shared among threads.

#include "../native/binding.hpp"
#include "kernel.hpp"

#include <cmath>
#include <limits>

namespace bridgeflow::resample {

extern const Kernel kernel_avx512, kernel_avx2, kernel_baseline, kernel_wide;

namespace {

const Kernel* const kernels[] = BRIDGEFLOW_KERNELS;

constexpr double least_release = 3e4;  // products, below which giving the GIL back costs more than it brings
constexpr double least_share = 1e6;    // products that are worth a thread
constexpr index most_ticks = index(1) << 40;   // between two samples, so that a phase times the pieces is exact enough
constexpr index most_pieces = 1024;
constexpr double most_window = 1 << 27;  // samples that `up` outputs may depend on: the kernel keeps a place for each

// The part of a job that computes outputs [from, to).
Job outputs_of(const Job& job, index from, index to) {
    Job part = job;
    const __int128 tick = job.phase + __int128(from) * job.down;
    part.first = job.first + index(tick / job.up);
    part.phase = index(tick % job.up);
    part.outputs = to - from;
    part.y = static_cast<char*>(job.y) + from * index(job.single_precision ? 4 : 8);
    return part;
}

Job rows_of(const Job& job, index from, index to) {
    Job part = job;
    const index size = job.single_precision ? 4 : 8;
    part.rows = to - from;
    part.x = static_cast<const char*>(job.x) + from * job.x_row * size;
    part.y = static_cast<char*>(job.y) + from * job.y_row * size;
    return part;
}

void run_in_threads(const Kernel& kernel, const Job& job, int threads) {
    const bool by_rows = job.rows >= threads;
    const index all = by_rows ? job.rows : job.outputs;
    run_shares(all, (all + threads - 1) / threads, [&](index begin, index end) {
        return kernel.run(by_rows ? rows_of(job, begin, end) : outputs_of(job, begin, end));
    });
}

// Whether a buffer is a C-contiguous matrix of float32 or float64.
bool is_matrix(const Buffer& b) {
    return b.ndim() == 2 && !b.complex() && (b.scalar() == Scalar::f32 || b.scalar() == Scalar::f64) && b.contiguous();
}

// Buffers that fit each other, as a job without a filter.
Job job_of(const Buffer& x, const Buffer& y, const Buffer& table, index up, index down, index phase, index first) {
    if (!is_matrix(x) || !is_matrix(y)) throw nb::value_error("not a matrix of float32 or float64");
    if (y.scalar() != x.scalar() || table.scalar() != x.scalar() || table.complex() || !table.contiguous() || y.size(0) != x.size(0) ||
        up < 1 || down < 1 || phase < 0 || phase >= up || !y.aligned() || !table.aligned()) {
        throw nb::value_error("the arguments do not fit each other");
    }
    Job job;
    job.single_precision = x.scalar() == Scalar::f32;
    job.x = x.data(), job.y = y.data(), job.table = table.data();
    job.rows = x.size(0), job.x_row = job.samples = x.size(1), job.y_row = job.outputs = y.size(1);
    job.up = up, job.down = down, job.phase = phase, job.first = first;
    return job;
}

void run_job(const Kernel& kernel, const Job& job, int threads) {
    if (job.rows == 0 || job.outputs == 0) return;
    const double amount = double(job.rows) * double(job.outputs) * double(job.taps);
    if (amount < least_release) return run_in_threads(kernel, job, 1);
    const nb::gil_scoped_release released;
    run_in_threads(kernel, job, threads_for(amount, least_share, threads));
}

void run(nb::handle x_, nb::handle y_, nb::handle table_, index up, index down, index phase, index first, bool fused,
         int threads, std::string_view isa) {
    const Kernel& kernel = kernel_named(kernels, isa);
    const Buffer x(x_, false), y(y_, true), table(table_, false);
    if (!is_matrix(table)) throw nb::value_error("not a matrix of float32 or float64");
    Job job = job_of(x, y, table, up, down, phase, first);
    job.taps = table.size(1), job.fused = fused;
    if (table.size(0) != up || job.taps < 1) throw nb::value_error("the arguments do not fit each other");
    // Positions in the data and in the work arrays are counted in samples and bytes; none may overflow.
    const double farthest = (double(job.outputs) + double(up)) * double(down) + double(job.taps) + std::abs(double(first));
    if (farthest * 64 > double(std::numeric_limits<index>::max()) || double(down) + double(job.taps) > most_window) {
        throw nb::value_error("the arguments are too large");
    }
    run_job(kernel, job, threads);
}

void run_between(nb::handle x_, nb::handle y_, nb::handle table_, index up, index down, index phase, index first, int threads,
                 std::string_view isa) {
    const Kernel& kernel = kernel_named(kernels, isa);
    const Buffer x(x_, false), y(y_, true), table(table_, false);
    Job job = job_of(x, y, table, up, down, phase, first);
    constexpr index unit = 64 / 4;  // of the taps, for either precision
    if (table.ndim() != 3 || table.size(0) < 1 || table.size(1) != 4 || table.size(2) < unit || table.size(2) % unit != 0) {
        throw nb::value_error("the table is not [pieces, 4, taps], the taps a multiple of 16");
    }
    job.pieces = table.size(0), job.taps = table.size(2);
    const double farthest = double(job.outputs) * (double(down) / double(up) + 1) + double(job.taps) + std::abs(double(first));
    if (farthest > 1e15 || up > most_ticks || down > most_ticks || job.pieces > most_pieces) {
        throw nb::value_error("the arguments are too large");
    }
    run_job(kernel, job, threads);
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("run", &run, "x"_a, "y"_a, "table"_a, "up"_a, "down"_a, "phase"_a, "first"_a, "fused"_a, "threads"_a, "isa"_a);
    m.def("run_between", &run_between, "x"_a, "y"_a, "table"_a, "up"_a, "down"_a, "phase"_a, "first"_a, "threads"_a, "isa"_a);
    m.def("instruction_sets", [] { return supported_names(kernels); });
}

}  // namespace bridgeflow::resample
