// Polyphase resampling: the same phase of many stretches of the recording at once, one stretch per SIMD lane.
//
// CMakeLists.txt compiles this file once per instruction set (see vectors.hpp).
//
// `up` outputs in a row, a block, use every phase of the filter once; the next block does the same with samples `down`
// further on. So if the samples are dealt to `down` rows,
//
//     deal[r][c] = x[first + c * down + r],
//
// then one phase of consecutive blocks reads consecutive columns: each tap is multiplied with whole vectors, and there is
// nothing but vertical arithmetic. Dealing out, and collecting the outputs of a block from as many lanes, are transpositions
// in registers. A tile is as many columns as the second-level cache holds, of one row of the data or of several.
//
// Bits. A lane sees the same operations in the same order whatever its neighbours, its tile or the width of the vector, and
// no product and sum are contracted (-ffp-contract=off). The order is that of scipy.signal.upfirdn, and so are the bits.

#include "../native/vectors.hpp"
#include "kernel.hpp"

#include <new>
#include <utility>

namespace bridgeflow::resample {
namespace {

constexpr int accumulators = 8;  // vectors of sums under way: enough to hide the latency of an addition twice over

template <class T>
using Full = Vec<T, lanes<T>>;

// A sample of the data, which need not be aligned.
template <class T>
using Sample = typename Unaligned<T>::type;

// Exchanges blocks of H x H elements across the diagonal of a pair of rows H apart (J. O. Eklundh, "A fast computer method for
// matrix transposing", IEEE Trans. Computers C-21, 1972).
template <int H, class T, int... I>
INLINE void exchange(Full<T>& a, Full<T>& b, std::integer_sequence<int, I...>) {
    constexpr int N = lanes<T>;
    const Full<T> upper = __builtin_shufflevector(a, b, (I & H ? I - H + N : I)...);
    b = __builtin_shufflevector(a, b, (I & H ? I + N : I + H)...);
    a = upper;
}

template <class T, int H = 1>
INLINE void transpose(Full<T>* rows) {
    if constexpr (H < lanes<T>) {
        for (int i = 0; i < lanes<T>; ++i) {
            if (!(i & H)) exchange<H, T>(rows[i], rows[i + H], std::make_integer_sequence<int, lanes<T>>());
        }
        transpose<T, 2 * H>(rows);
    }
}

// Memory for the length of a call.
template <class T>
class Scratch {
    T* memory;

public:
    explicit Scratch(index count)
        : memory(static_cast<T*>(::operator new(std::size_t(count) * sizeof(T), std::align_val_t(64), std::nothrow))) {}
    Scratch(const Scratch&) = delete;
    ~Scratch() { ::operator delete(memory, std::align_val_t(64)); }
    T* get() const { return memory; }
};

// Where the outputs of the block in one column go.
template <class T>
struct Column {
    T* y;
    index count;  // outputs that the block has: none between rows, fewer than `up` at the end of a row
};

template <class T>
class Run {
    static constexpr int W = lanes<T>, group = accumulators * W;
    static constexpr index tile_elements = 96 * 1024 / sizeof(T);

    const Job& job;
    const T* const table = static_cast<const T*>(job.table);
    const index up = job.up, down = job.down, taps = job.taps;
    const index blocks = (job.outputs + up - 1) / up;             // in a row of the data
    const index phases = smaller(up, job.outputs);                // in a block
    const index window = ahead(phases - 1) + taps;                // samples that a block needs
    const index dealt = smaller(down, window);                    // rows of a tile
    const index halo = (window - 1) / down;                       // columns that the last block needs beyond its own
    const index columns = rounded_up(                             // of a tile
        smaller(larger(tile_elements / dealt, 2 * halo + group), (blocks + halo) * job.rows), W);
    // Room for the halo, and for vectors that hang over the last column; and no power of two.
    const index stride = columns + halo + (columns > group / 2 ? group : W) + 64 / index(sizeof(T));

    T* tile = nullptr;
    index* at = nullptr;  // where sample i of a window is in the tile
    Column<T>* column = nullptr;

public:
    explicit Run(const Job& job_) : job(job_) {}

    bool operator()() {
        if (job.rows == 0 || job.outputs == 0) return true;
        const Scratch<T> tile_(dealt * stride);
        const Scratch<index> at_(window);
        const Scratch<Column<T>> column_(columns + group);
        if (!tile_.get() || !at_.get() || !column_.get()) return false;
        tile = tile_.get(), at = at_.get(), column = column_.get();
        for (index i = 0; i < window; ++i) at[i] = i % down * stride + i / down;
        for (index i = 0; i < dealt * stride; ++i) tile[i] = 0;

        index row = 0, block = 0;
        while (row < job.rows) {
            index filled = 0;
            while (row < job.rows && filled + halo < columns) {
                const index here = smaller(blocks - block, columns - halo - filled);
                deal(filled, here + halo, static_cast<const Sample<T>*>(job.x) + row * job.x_row, job.first + block * down);
                T* y = static_cast<T*>(job.y) + row * job.y_row;
                for (index i = 0; i < here; ++i, ++block) {
                    column[filled++] = {y + block * up, smaller(up, job.outputs - block * up)};
                }
                if (block == blocks) block = 0, ++row;
                for (index i = 0; i < halo && row < job.rows; ++i) column[filled++] = {nullptr, 0};
            }
            for (index i = 0; i < group; ++i) column[filled + i] = {nullptr, 0};
            index c = 0;
            for (; c + group / 2 < filled; c += group) compute<accumulators>(c);
            for (; c < filled; c += W) compute<1>(c);
        }
        return true;
    }

private:
    // How many samples after the window of output 0 that of output p begins.
    index ahead(index p) const { return (job.phase + p * down) / up; }

    // tile[r][to + c] = x[from + c * down + r]
    void deal(index to, index count, const Sample<T>* x, index from) {
        const index n = job.samples;
        T* const first = tile + to;
        index c = 0;
        const auto one = [&](index c) {
            for (index r = 0; r < dealt; ++r) {
                const index t = from + c * down + r;
                first[r * stride + c] = t >= 0 && t < n ? x[t] : T(0);
            }
        };
        for (; c < count && from + c * down < 0; ++c) one(c);
        const Sample<T>* const s = x + from;
        if (down == 1) {
            const index whole = smaller(count, n - from);
            for (; c < whole; ++c) first[c] = s[c];
        } else if (down == 2 && dealt == 2) {
            const index whole = smaller(count, (n - from) / 2);
            T *even = first, *odd = first + stride;
            for (; c < whole; ++c) even[c] = s[2 * c], odd[c] = s[2 * c + 1];
        } else {
            for (; c + W <= count && from + (c + W - 1) * down + rounded_up(dealt, W) <= n; c += W) {
                for (index r = 0; r < dealt; r += W) {
                    Full<T> v[W];
                    for (int i = 0; i < W; ++i) v[i] = load<Full<T>>(s + (c + i) * down + r);
                    transpose<T>(v);
                    const int there = int(smaller(W, dealt - r));
                    for (int i = 0; i < there; ++i) store(first + (r + i) * stride + c, v[i]);
                }
            }
        }
        for (; c < count; ++c) one(c);
    }

    // All phases of V vectors of columns.
    template <int V>
    INLINE void compute(index c) {
        T y[W][V * W];
        const T* const from = tile + c;
        const index down_whole = down / up, down_rest = down % up;
        index offset = 0, phase = job.phase;  // of output p: samples after output 0, and row of the table
        for (index p = 0; p < phases; p += W) {
            const int count = int(smaller(W, phases - p));
            for (int j = 0; j < count; ++j) {
                const T* const tap = table + phase * taps;
                const index* const where = at + offset;
                offset += down_whole, phase += down_rest;
                if (phase >= up) ++offset, phase -= up;
                Full<T> sum[V] = {};
                for (index k = 0; k < taps; ++k) {
                    const T* const samples = from + where[k];
                    for (int v = 0; v < V; ++v) sum[v] += load<Full<T>>(samples + v * W) * tap[k];
                }
                for (int v = 0; v < V; ++v) store(y[j] + v * W, sum[v]);
            }
            for (int v = 0; v < V; ++v) collect<V>(y, v * W, column + c + v * W, p, count);
        }
    }

    // Outputs p, ..., p + count - 1 of the blocks in some columns.
    template <int V>
    INLINE void collect(const T (*y)[V * W], int from, const Column<T>* to, index p, int count) {
        if (up == 1 && to[0].y && to[W - 1].y == to[0].y + (W - 1)) {
            return store(to[0].y, load<Full<T>>(y[0] + from));
        }
        if (count == W) {
            Full<T> v[W];
            for (int i = 0; i < W; ++i) v[i] = load<Full<T>>(y[i] + from);
            transpose<T>(v);
            for (int i = 0; i < W; ++i) {
                const index there = to[i].count - p;
                if (there >= W) {
                    store(to[i].y + p, v[i]);
                } else {
                    for (int j = 0; j < there; ++j) to[i].y[p + j] = v[i][j];
                }
            }
            return;
        }
        for (int i = 0; i < W; ++i) {
            const index there = smaller(count, to[i].count - p);
            for (int j = 0; j < there; ++j) to[i].y[p + j] = y[j][from + i];
        }
    }
};

bool run(const Job& job) { return job.single_precision ? Run<float>(job)() : Run<double>(job)(); }

}  // namespace

BRIDGEFLOW_DEFINE_KERNEL(run);

}  // namespace bridgeflow::resample
