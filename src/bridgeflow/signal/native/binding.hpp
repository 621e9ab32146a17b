// What the Python bindings share: buffers of NumPy, the choice of an instruction set, threads.
//
// Arguments come through the buffer protocol: NumPy hands it strides in bytes and element codes, read-only or not, in a tenth
// of a microsecond each. The Python module has checked shapes and dtypes; what it could get wrong is checked again in the
// binding, for a mistake would read or write where it must not.
#pragma once

#include "types.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace bridgeflow {

namespace nb = nanobind;
using namespace nb::literals;

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

    bool contiguous() const { return PyBuffer_IsContiguous(&view, 'C') != 0; }

    // Each number at a multiple of its size.
    bool aligned() const {
        const index size = complex() ? view.itemsize / 2 : view.itemsize;
        return reinterpret_cast<std::uintptr_t>(data()) % std::size_t(size) == 0;
    }

    // Whether all floating-point numbers are finite; false where they are not contiguous.
    bool finite() const {
        if (!contiguous()) return false;
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
    // A number is not finite where all bits of its exponent are set; a loop over integers, which compilers vectorize.
    template <class Bits>
    bool finite(Bits exponent) const {
        Bits not_finite = 0;
        for (index i = 0; i < view.len / index(sizeof(Bits)); ++i) {
            Bits bits;
            std::memcpy(&bits, data() + i * index(sizeof(Bits)), sizeof bits);
            not_finite |= Bits((bits & exponent) == exponent);
        }
        return not_finite == 0;
    }

    // Without the mark of the machine's own byte order, or of data that are not aligned: an element is read either way.
    std::string_view code() const {
        std::string_view format = view.format == nullptr ? "B" : view.format;
        if (!format.empty() && native_marks.find(format[0]) != std::string_view::npos) format.remove_prefix(1);
        return format;
    }

    // What an exporter may put before an element code whose bytes are in this machine's order (PEP 3118).
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    static constexpr std::string_view native_marks = "@=^>!";
#else
    static constexpr std::string_view native_marks = "@=^<";
#endif
};

// The kernels of a module, the fastest first. "wide" is the code of the widest vectors in instructions that every machine
// has: for tests.
#if defined(__x86_64__)
#define BRIDGEFLOW_KERNELS {&kernel_avx512, &kernel_avx2, &kernel_baseline, &kernel_wide}
#else
#define BRIDGEFLOW_KERNELS {&kernel_baseline, &kernel_wide}
#endif

template <class Kernel, std::size_t N>
const Kernel& kernel_named(const Kernel* const (&kernels)[N], std::string_view name) {
    for (const Kernel* kernel : kernels) {
        if ((name.empty() || name == kernel->name) && kernel->supported()) return *kernel;
    }
    throw nb::value_error(("this machine or build has no instruction set " + std::string(name)).c_str());
}

template <class Kernel, std::size_t N>
std::vector<std::string> supported_names(const Kernel* const (&kernels)[N]) {
    std::vector<std::string> names;
    for (const Kernel* kernel : kernels) {
        if (kernel->supported()) names.emplace_back(kernel->name);
    }
    return names;
}

// How many threads an amount of work is worth.
inline int threads_for(double amount, double least_share, int most) {
    return std::clamp(int(std::min(amount / least_share, 1e6)), 1, std::max(most, 1));
}

// Calls work(begin, end) for shares of [0, all), each in a thread of its own but the first; it returns whether it had memory.
// Threads live for one call: a pool would have to survive fork(), and a thread costs 10 to 20 microseconds to start, against
// the 100 or more of a share.
template <class Work>
void run_shares(index all, index share, const Work& work) {
    std::atomic<bool> failed{false};
    const auto run_share = [&](index begin) {
        if (!work(begin, std::min(begin + share, all))) failed = true;
    };
    std::vector<std::thread> others;
    for (index begin = share; begin < all; begin += share) {
        try {
            others.emplace_back(run_share, begin);
        } catch (const std::system_error&) {  // the system starts no more threads
            run_share(begin);
        }
    }
    run_share(0);
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

}  // namespace bridgeflow
