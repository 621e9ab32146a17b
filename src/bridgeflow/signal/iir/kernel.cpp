// Second-order sections over many rows at once: one row per SIMD lane.
//
// CMakeLists.txt compiles this file once per instruction set (see vectors.hpp). The work goes in tiles: a group of rows, a
// short stretch of time.
//
//     load     rows (time along memory) -> tile[time][lane], transposed in registers, converted to the type of the recursion
//     cascade  tile -> tile, all sections; a lane is a row, so there is nothing but vertical arithmetic
//     store    tile -> rows
//
// Where the rows lie side by side in memory (time is an outer axis), tile and data have the same layout, and the cascade
// reads and writes the data themselves.
//
// Bits. A lane sees the same operations in the same order whatever its neighbours, the group, the tile or the width of the
// vector, so the output depends on row and filter alone. The operations and their order are those of SciPy's loop, no product
// and sum are contracted (-ffp-contract=off), and so float64 results equal SciPy's bit for bit, with one exception:
// subnormal numbers count as zero (see FlushSubnormals). Lanes beyond the last row repeat that row; they store the same bytes
// to the same place.

#include "worker.hpp"

namespace bridgeflow {
namespace {

// A recording that falls silent leaves the state decaying through the subnormal numbers, which many processors handle a
// hundred times slower. For the time of a run they count as zero, where they are read and where they would arise: the
// results differ from SciPy's by less than 2.3e-308 (1.2e-38 in float32) times the gain.
class FlushSubnormals {
#if defined(__SSE2__)
    unsigned saved = _mm_getcsr();

public:
    FlushSubnormals() { _mm_setcsr(saved | 0x8040); }
    ~FlushSubnormals() { _mm_setcsr(saved); }
#elif defined(__aarch64__)
    std::uint64_t saved;

public:
    FlushSubnormals() {
        asm volatile("mrs %0, fpcr" : "=r"(saved));
        asm volatile("msr fpcr, %0" : : "r"(saved | std::uint64_t(1) << 24));
    }
    ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(saved)); }
#else
public:
    FlushSubnormals() {}
#endif
};

Outcome run(const Job& job, index first, index last) {
    const FlushSubnormals flush;
    if (job.single_precision) return Worker<float>(job).run(first, last);
    return Worker<double>(job).run(first, last);
}

}  // namespace

BRIDGEFLOW_DEFINE_KERNEL(run);

}  // namespace bridgeflow
