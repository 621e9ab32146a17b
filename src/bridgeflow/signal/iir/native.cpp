// The Python face of the kernel: buffers in, a Job out, the best instruction set chosen, rows dealt to threads.
//
// Arguments come through the buffer protocol: NumPy hands it strides in bytes and element codes, read-only or not, in a tenth
// of a microsecond each. native.py has checked shapes and dtypes; what it could get wrong is checked again here, for a
// mistake would read or write where it must not.

#include "kernel.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace bridgeflow {

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

// What an exporter may put before an element code whose bytes are in this machine's order (PEP 3118).
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr std::string_view native_marks = "@=^>!";
#else
constexpr std::string_view native_marks = "@=^<";
#endif

class Buffer {
    Py_buffer view;

public:
    Buffer(nb::handle object, bool writable) {
        if (PyObject_GetBuffer(object.ptr(), &view, writable ? PyBUF_RECORDS : PyBUF_RECORDS_RO) != 0) nb::raise_python_error();
    }
    Buffer(const Buffer&) = delete;
    ~Buffer() { PyBuffer_Release(&view); }

    char* data() const { return static_cast<char*>(view.buf); }
    int ndim() const { return view.ndim; }
    index size(int axis) const { return view.shape[axis]; }
    // What exporters say of an axis of one element, or of no elements, may be anything, and products with it may overflow.
    index step(int axis) const { return view.shape[axis] > 1 && view.len > 0 ? view.strides[axis] : view.itemsize; }
    index itemsize() const { return view.itemsize; }

    // In one piece, and readable as an array of T.
    template <class T>
    bool plain() const {
        return PyBuffer_IsContiguous(&view, 'C') != 0 && reinterpret_cast<std::uintptr_t>(data()) % alignof(T) == 0;
    }

    // Whether all of them are numbers; of floating ones, in one piece. Elsewhere it is not said.
    bool finite() const {
        if (PyBuffer_IsContiguous(&view, 'C') == 0) return false;
        return scalar() == Scalar::f32 ? finite<std::uint32_t>(0x7f800000) : finite<std::uint64_t>(0x7ff0000000000000);
    }

    bool complex() const { return code().size() == 2 && code()[0] == 'Z'; }

    // Of an element, or of each part of a complex one.
    Scalar scalar() const {
        const index size = complex() ? view.itemsize / 2 : view.itemsize;
        const char letter = code().empty() ? ' ' : code().back();
        if (letter == 'f' && size == 4) return Scalar::f32;
        if (letter == 'd' && size == 8) return Scalar::f64;
        if (letter == 'B' && size == 1) return Scalar::u8;
        if (letter == 'H' && size == 2) return Scalar::u16;
        if (letter == 'h' && size == 2) return Scalar::i16;
        if ((letter == 'i' || letter == 'l') && size == 4) return Scalar::i32;
        throw nb::type_error(("the native engine reads no elements of type '" + std::string(code()) + "'").c_str());
    }

private:
    // The exponent alone tells; a loop over integers that the compiler makes vectors of.
    template <class Bits>
    bool finite(Bits exponent) const {
        Bits endless = 0;
        for (index i = 0; i < view.len / index(sizeof(Bits)); ++i) {
            Bits bits;
            std::memcpy(&bits, data() + i * index(sizeof(Bits)), sizeof bits);
            endless |= Bits((bits & exponent) == exponent);
        }
        return endless == 0;
    }

    // Without the mark of the machine's own byte order, or of data that are not aligned: an element is read either way.
    std::string_view code() const {
        std::string_view format = view.format == nullptr ? "B" : view.format;
        if (!format.empty() && native_marks.find(format[0]) != std::string_view::npos) format.remove_prefix(1);
        return format;
    }
};

[[noreturn]] void mismatch(const char* what) {
    throw nb::value_error((std::string(what) + " does not fit the data").c_str());
}

// Rows in the order of memory, and as few axes of them as will do: neighbours in memory become neighbours in vectors.
void simplify(Job& job) {
    // The parts of complex numbers stay where they are, innermost.
    Axis* const end = job.axis + job.axes - (job.complex ? 1 : 0);
    std::stable_sort(job.axis, end, [](const Axis& a, const Axis& b) { return std::abs(a.x) > std::abs(b.x); });
    int kept = 0;
    for (int a = 0; a < job.axes; ++a) {
        const Axis inner = job.axis[a];
        if (inner.size == 1) continue;
        if (kept > 0) {
            Axis& outer = job.axis[kept - 1];
            const auto follows = [&](index Axis::*step) { return outer.*step == inner.*step * inner.size; };
            // The parity of a row must remain that of its part.
            const bool parts = job.complex && a == job.axes - 1;
            if (follows(&Axis::x) && follows(&Axis::y) && follows(&Axis::zi) && follows(&Axis::zf) && !parts) {
                outer = {outer.size * inner.size, inner.x, inner.y, inner.zi, inner.zf};
                continue;
            }
        }
        job.axis[kept++] = inner;
    }
    job.axes = kept;
}

// Threads live for one call: a pool would have to survive fork(), and a thread costs 10 to 20 microseconds to start, against
// the 100 or more of a share.
constexpr double least_share = 1 << 19;  // samples times sections
constexpr double least_release = 1 << 13;

void deal(const Kernel& kernel, const Job& job, int threads) {
    const index unit = 2 * kernel.vector_bytes / (job.single_precision ? 4 : 8);
    index share = (job.rows + threads - 1) / threads;
    if (share > unit) share = (share + unit - 1) / unit * unit;
    std::atomic<bool> failed{false};
    const auto work = [&](index first) {
        if (kernel.run(job, first, std::min(first + share, job.rows)) != Outcome::done) failed = true;
    };
    std::vector<std::thread> others;
    for (index first = share; first < job.rows; first += share) {
        try {
            others.emplace_back(work, first);
        } catch (const std::system_error&) {  // no more threads to be had
            work(first);
        }
    }
    work(0);
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

// Says whether the final state was wanted and is finite.
bool run(nb::handle sos_, nb::handle x_, nb::handle out_, nb::handle zi_, nb::handle zf_, bool single_precision, double scale,
         double offset, int threads, std::string_view isa, int padding, index padlen, nb::handle steady_) {
    const Kernel& kernel = kernel_named(isa);
    Job job;
    const Buffer sos(sos_, false), x(x_, false);
    if (sos.ndim() != 2 || sos.size(0) < 1 || sos.size(1) != 6 || sos.scalar() != Scalar::f64 || sos.complex() || !sos.plain<double>()) {
        mismatch("sos");
    }
    job.sos = reinterpret_cast<const double*>(sos.data());
    job.sections = sos.size(0);
    job.single_precision = single_precision;

    const int time = x.ndim() - 1;
    if (time < 0) mismatch("x");
    job.x = x.data();
    job.x_type = x.scalar();
    job.x_step = x.step(time);
    job.samples = x.size(time);
    job.complex = x.complex();
    job.scale = scale, job.offset = offset;
    job.affine = scale != 1 || offset != 0;
    for (int a = 0; a < time; ++a) {
        job.axis[job.axes++] = {x.size(a), x.step(a), 0, 0, 0};
        job.rows *= x.size(a);
    }
    if (job.complex) {
        job.axis[job.axes++] = {2, x.itemsize() / 2, 0, 0, 0};
        job.rows *= 2;
    }

    const auto same_rows = [&](const Buffer& b, int first_axis) {
        if (b.ndim() != first_axis + time + 1 || b.complex() != job.complex) return false;
        for (int a = 0; a < time; ++a) {
            if (b.size(first_axis + a) != x.size(a)) return false;
        }
        return true;
    };
    const auto steps = [&](const Buffer& b, int first_axis, index Axis::*step) {
        for (int a = 0; a < time; ++a) job.axis[a].*step = b.step(first_axis + a);
        if (job.complex) job.axis[time].*step = b.itemsize() / 2;
    };
    const Scalar own = single_precision ? Scalar::f32 : Scalar::f64;
    const auto state = [&](const Buffer& b, const char* what, index Axis::*step) {
        if (!same_rows(b, 1) || b.size(0) != job.sections || b.size(time + 1) != 2 || b.scalar() != own) mismatch(what);
        steps(b, 1, step);
    };

    std::optional<Buffer> out, zi, zf;  // must outlive the run
    if (!out_.is_none()) {
        out.emplace(out_, true);
        if (!same_rows(*out, 0) || out->size(time) != job.samples) mismatch("out");
        job.y = out->data();
        job.y_type = out->scalar();
        job.y_step = out->step(time);
        if (job.y_type != Scalar::f32 && job.y_type != Scalar::f64) mismatch("out");
        steps(*out, 0, &Axis::y);
    }
    if (!zi_.is_none()) {
        zi.emplace(zi_, false);
        state(*zi, "zi", &Axis::zi);
        job.zi = zi->data();
        job.zi_section = zi->step(0), job.zi_pair = zi->step(time + 1);
    }
    if (!zf_.is_none()) {
        zf.emplace(zf_, true);
        state(*zf, "zf", &Axis::zf);
        job.zf = zf->data();
        job.zf_section = zf->step(0), job.zf_pair = zf->step(time + 1);
    }
    const auto clean = [&] { return zf && zf->finite(); };
    if (job.rows == 0) return clean();

    const double amount = double(job.rows) * double(job.samples) * double(job.sections);
    if (steady_.is_valid() && !steady_.is_none()) {
        const Buffer steady(steady_, false);
        if (steady.ndim() != 2 || steady.size(0) != job.sections || steady.size(1) != 2 || steady.scalar() != Scalar::f64 ||
            steady.complex() || !steady.plain<double>() || padlen < 0 || padlen >= job.samples || padding < 0 ||
            padding > int(Padding::constant) || job.y == nullptr) {
            mismatch("the padding");
        }
        job.both_ways = true;
        job.padding = Padding(padding);
        job.padlen = padlen;
        job.steady = reinterpret_cast<const double*>(steady.data());
        simplify(job);
        nb::gil_scoped_release released;
        deal(kernel, job, std::clamp(int(std::min(amount / least_share, 1e6)), 1, std::max(threads, 1)));
        return false;
    }
    simplify(job);
    if (amount < least_release) {
        deal(kernel, job, 1);
        return clean();
    }
    {
        nb::gil_scoped_release released;
        deal(kernel, job, std::clamp(int(std::min(amount / least_share, 1e6)), 1, std::max(threads, 1)));
    }
    return clean();
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
    m.def("run", &run, "sos"_a, "x"_a, "out"_a.none(), "zi"_a.none(), "zf"_a.none(), "single_precision"_a, "scale"_a, "offset"_a,
          "threads"_a, "isa"_a, "padding"_a, "padlen"_a, "steady"_a.none());
    m.def("instruction_sets", &instruction_sets);
    m.attr("SMALL") = 1 << 15;
}

}  // namespace bridgeflow
