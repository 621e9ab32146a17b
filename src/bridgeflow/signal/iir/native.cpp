// The Python binding of the kernel: buffers in, a Job out, rows shared among threads.

#include "../native/binding.hpp"
#include "kernel.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace bridgeflow {

extern const Kernel kernel_avx512, kernel_avx2, kernel_baseline, kernel_wide;

namespace {

const Kernel* const kernels[] = BRIDGEFLOW_KERNELS;

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

constexpr double least_share = 1 << 19;  // samples times sections that are worth a thread
constexpr double least_release = 1 << 13;  // below which releasing the GIL costs more than it brings

void run_in_threads(const Kernel& kernel, const Job& job, int threads) {
    const index unit = 2 * kernel.vector_bytes / (job.single_precision ? 4 : 8);
    index share = (job.rows + threads - 1) / threads;
    if (share > unit) share = (share + unit - 1) / unit * unit;
    run_shares(job.rows, share, [&](index first, index last) { return kernel.run(job, first, last) == Outcome::done; });
}

// Says whether the final state was wanted and is finite.
bool run(nb::handle sos_, nb::handle x_, nb::handle out_, nb::handle zi_, nb::handle zf_, bool single_precision, double scale,
         double offset, int threads, std::string_view isa, int padding, index padlen, nb::handle steady_) {
    const Kernel& kernel = kernel_named(kernels, isa);
    Job job;
    const Buffer sos(sos_, false), x(x_, false);
    const int bank = sos.ndim() - 2;  // 1: several filters; results then have an axis of them before time
    if (bank < 0 || bank > 1 || sos.size(0) < 1 || sos.size(bank) < 1 || sos.size(bank + 1) != 6 || sos.scalar() != Scalar::f64 ||
        sos.complex() || !sos.contiguous() || !sos.aligned()) {
        mismatch("sos");
    }
    job.sos = reinterpret_cast<const double*>(sos.data());
    job.filters = bank > 0 ? sos.size(0) : 1;
    job.sections = sos.size(bank);
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
        if (b.ndim() != first_axis + time + bank + 1 || b.complex() != job.complex) return false;
        if (bank > 0 && b.size(first_axis + time) != job.filters) return false;
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
        if (!same_rows(b, 1) || b.size(0) != job.sections || b.size(time + bank + 1) != 2 || b.scalar() != own) mismatch(what);
        steps(b, 1, step);
    };
    const auto filter_step = [&](const Buffer& b, int first_axis) { return bank > 0 ? b.step(first_axis + time) : 0; };

    std::optional<Buffer> out, zi, zf, steady;  // must outlive the run
    if (!out_.is_none()) {
        out.emplace(out_, true);
        if (!same_rows(*out, 0) || out->size(time + bank) != job.samples) mismatch("out");
        job.y = out->data();
        job.y_type = out->scalar();
        job.y_step = out->step(time + bank), job.y_filter = filter_step(*out, 0);
        if (job.y_type != Scalar::f32 && job.y_type != Scalar::f64) mismatch("out");
        steps(*out, 0, &Axis::y);
    }
    if (!zi_.is_none()) {
        zi.emplace(zi_, false);
        state(*zi, "zi", &Axis::zi);
        job.zi = zi->data();
        job.zi_section = zi->step(0), job.zi_pair = zi->step(time + bank + 1), job.zi_filter = filter_step(*zi, 1);
    }
    if (!zf_.is_none()) {
        zf.emplace(zf_, true);
        state(*zf, "zf", &Axis::zf);
        job.zf = zf->data();
        job.zf_section = zf->step(0), job.zf_pair = zf->step(time + bank + 1), job.zf_filter = filter_step(*zf, 1);
    }
    const auto all_finite = [&] { return zf && zf->finite(); };
    if (job.rows == 0) return all_finite();

    const double amount = double(job.rows) * double(job.samples) * double(job.filters) * double(job.sections);
    if (steady_.is_valid() && !steady_.is_none()) {
        steady.emplace(steady_, false);
        if (steady->ndim() != 2 || steady->size(0) != job.sections || steady->size(1) != 2 || steady->scalar() != Scalar::f64 ||
            steady->complex() || !steady->contiguous() || !steady->aligned() || padlen < 0 || padlen >= job.samples || padding < 0 ||
            padding > int(Padding::constant) || job.y == nullptr || job.filters > 1) {
            mismatch("the padding");
        }
        job.both_ways = true;
        job.padding = Padding(padding);
        job.padlen = padlen;
        job.steady = reinterpret_cast<const double*>(steady->data());
    }
    simplify(job);
    if (amount < least_release && !job.both_ways) {
        run_in_threads(kernel, job, 1);
    } else {
        nb::gil_scoped_release released;
        run_in_threads(kernel, job, threads_for(amount, least_share, threads));
    }
    return all_finite();
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("run", &run, "sos"_a, "x"_a, "out"_a.none(), "zi"_a.none(), "zf"_a.none(), "single_precision"_a, "scale"_a, "offset"_a,
          "threads"_a, "isa"_a, "padding"_a, "padlen"_a, "steady"_a.none());
    m.def("instruction_sets", [] { return supported_names(kernels); });
    m.attr("SMALL") = 1 << 15;
}

}  // namespace bridgeflow
