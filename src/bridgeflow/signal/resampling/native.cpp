// The Python face of the kernel: buffers in, a Job out, the best instruction set chosen, rows or outputs dealt to threads.
//
// cpu.py has checked shapes and dtypes; what it could get wrong is checked again here, for a mistake would read or write
// where it must not.

#include "kernel.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace bridgeflow::resample {

extern const Kernel kernel_avx512, kernel_avx2, kernel_baseline, kernel_wide;

namespace {

// Best first. "wide" is the code of the widest vectors in instructions that every machine has: for tests.
const Kernel* const kernels[] = {
#if defined(__x86_64__)
    &kernel_avx512,
    &kernel_avx2,
#endif
    &kernel_baseline,
    &kernel_wide,
};

const Kernel& kernel_named(std::string_view name) {
    for (const Kernel* kernel : kernels) {
        if ((name.empty() || name == kernel->name) && kernel->supported()) return *kernel;
    }
    throw nb::value_error(("this machine or build has no instruction set " + std::string(name)).c_str());
}

constexpr double least_release = 3e4;  // products, below which giving the GIL back costs more than it brings
constexpr double least_share = 1e6;    // products that are worth a thread
constexpr double most_window = 1 << 27;  // samples that `up` outputs may depend on: the kernel keeps a place for each

// What an exporter may put before an element code whose bytes are in this machine's order (PEP 3118).
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr std::string_view native_marks = "@=^>!";
#else
constexpr std::string_view native_marks = "@=^<";
#endif

// A C-contiguous matrix of floats.
class Matrix {
    Py_buffer view;

public:
    Matrix(nb::handle object, bool writable) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object.ptr(), &view, flags) != 0) nb::raise_python_error();
        std::string_view code = view.format == nullptr ? "B" : view.format;
        if (!code.empty() && native_marks.find(code[0]) != std::string_view::npos) code.remove_prefix(1);
        single = code == "f";
        if (view.ndim != 2 || (!single && code != "d")) {
            PyBuffer_Release(&view);
            throw nb::value_error("not a matrix of float32 or float64");
        }
    }
    Matrix(const Matrix&) = delete;
    ~Matrix() { PyBuffer_Release(&view); }

    bool single;
    void* data() const { return view.buf; }
    bool aligned() const { return reinterpret_cast<std::uintptr_t>(view.buf) % std::size_t(view.itemsize) == 0; }
    index size(int axis) const { return view.shape[axis]; }
};

// The part of a job that computes outputs [from, to).
Job outputs_of(const Job& job, index from, index to) {
    Job part = job;
    const index tick = job.phase + from * job.down;
    part.first = job.first + tick / job.up;
    part.phase = tick % job.up;
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

void deal(const Kernel& kernel, const Job& job, int threads) {
    std::atomic<bool> failed{false};
    const auto work = [&](const Job& part) {
        if (!kernel.run(part)) failed = true;
    };
    const bool by_rows = job.rows >= threads;
    const index all = by_rows ? job.rows : job.outputs;
    const index share = (all + threads - 1) / threads;
    const auto part = [&](index from) {
        const index to = std::min(from + share, all);
        return by_rows ? rows_of(job, from, to) : outputs_of(job, from, to);
    };
    std::vector<std::thread> others;
    for (index from = share; from < all; from += share) {
        try {
            others.emplace_back(work, part(from));
        } catch (const std::system_error&) {  // no more threads to be had
            work(part(from));
        }
    }
    work(part(0));
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

void run(nb::handle x_, nb::handle y_, nb::handle table_, index up, index down, index phase, index first, int threads,
         std::string_view isa) {
    const Kernel& kernel = kernel_named(isa);
    const Matrix x(x_, false), y(y_, true), table(table_, false);
    if (y.single != x.single || table.single != x.single || y.size(0) != x.size(0) || table.size(0) != up || up < 1 || down < 1 ||
        phase < 0 || phase >= up || table.size(1) < 1 || !y.aligned() || !table.aligned()) {
        throw nb::value_error("the arguments do not fit each other");
    }
    // Positions in the data and in the work arrays are counted in samples and bytes; none may overflow.
    const double farthest = (double(y.size(1)) + double(up)) * double(down) + double(table.size(1)) + std::abs(double(first));
    if (farthest * 64 > double(std::numeric_limits<index>::max()) || double(down) + double(table.size(1)) > most_window) {
        throw nb::value_error("the arguments are too large");
    }
    Job job;
    job.single_precision = x.single;
    job.x = x.data(), job.y = y.data(), job.table = table.data();
    job.rows = x.size(0), job.x_row = job.samples = x.size(1), job.y_row = job.outputs = y.size(1);
    job.up = up, job.down = down, job.taps = table.size(1), job.phase = phase, job.first = first;
    if (job.rows == 0 || job.outputs == 0) return;

    const double amount = double(job.rows) * double(job.outputs) * double(job.taps);
    if (amount < least_release) return deal(kernel, job, 1);
    const nb::gil_scoped_release released;
    deal(kernel, job, std::clamp(int(std::min(amount / least_share, 1e6)), 1, std::max(threads, 1)));
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernel* kernel : kernels) {
        if (kernel->supported()) names.emplace_back(kernel->name);
    }
    return names;
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("run", &run, "x"_a, "y"_a, "table"_a, "up"_a, "down"_a, "phase"_a, "first"_a, "threads"_a, "isa"_a);
    m.def("instruction_sets", &instruction_sets);
}

}  // namespace bridgeflow::resample
