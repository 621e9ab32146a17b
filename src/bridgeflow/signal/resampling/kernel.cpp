// Polyphase resampling: the same phase of many stretches of the recording at once, one stretch per SIMD lane.
//
// CMakeLists.txt compiles this file once per instruction set (see vectors.hpp).
//
// `up` outputs in a row use every phase of the filter once; the next `up` do the same with samples `down` further on. A block is
// so many outputs, or a multiple of them. If the samples are dealt to as many rows as lie between two blocks,
//
//     deal[r][c] = x[first + c * step + r],
//
// then one phase of consecutive blocks reads consecutive columns: each tap is multiplied with whole vectors, and there is
// nothing but vertical arithmetic. Dealing out, and collecting the outputs of a block from as many lanes, are transpositions
// in registers. A tile is as many columns as the second-level cache holds, of one row of the data or of several.
//
// A block's outputs are computed a few at a time: their windows overlap but for a few samples at both ends, so that a sample is
// loaded once for all of them, and arithmetic sets the pace instead of the second-level cache.
//
// Bits. A lane sees the same operations in the same order whatever its neighbours, its tile or the width of the vector. No
// product and sum are contracted (-ffp-contract=off) but where `fused` asks for it, and there all are. The order is that of
// scipy.signal.upfirdn, and without `fused` so are the bits.

#include "../native/vectors.hpp"
#include "kernel.hpp"

#include <new>
#include <type_traits>
#include <utility>

namespace bridgeflow::resample {
namespace {

// Vectors of sums under way: enough to hide the latency of an addition, and few enough that samples and taps find registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int accumulators = 16;
#else
constexpr int accumulators = 8;
#endif

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

// sum + x * y, rounded once. Without an instruction for it the C library computes it, slowly, and with the same bits.
template <class T>
INLINE Full<T> multiply_add(Full<T> x, Full<T> y, Full<T> sum) {
    constexpr bool single = std::is_same_v<T, float>;
#if defined(__AVX512F__)
    if constexpr (single) return Full<T>(_mm512_fmadd_ps(__m512(x), __m512(y), __m512(sum)));
    else return Full<T>(_mm512_fmadd_pd(__m512d(x), __m512d(y), __m512d(sum)));
#elif defined(__FMA__)
    if constexpr (single) return Full<T>(_mm256_fmadd_ps(__m256(x), __m256(y), __m256(sum)));
    else return Full<T>(_mm256_fmadd_pd(__m256d(x), __m256d(y), __m256d(sum)));
#else
    for (int i = 0; i < lanes<T>; ++i) {
        if constexpr (single) sum[i] = __builtin_fmaf(x[i], y[i], sum[i]);
        else sum[i] = __builtin_fma(x[i], y[i], sum[i]);
    }
    return sum;
#endif
}

// One number in all lanes.
template <class T>
INLINE Full<T> splat(T value) {
    return value - Full<T>{};
}

// sum + x * tap: `fused`, rounded once; else twice.
template <class T, bool fused>
INLINE Full<T> add_product(Full<T> sum, Full<T> x, T tap) {
    if constexpr (fused) return multiply_add<T>(x, splat<T>(tap), sum);
    else return sum + x * tap;
}

// The greatest power of two that divides both.
INLINE constexpr index common_power_of_two(index a, index b) { return (a | b) & -(a | b); }

template <class T, bool fused>
class Run {
    static constexpr int W = lanes<T>;
    static constexpr int shared = int(smaller(W, accumulators / 2));  // outputs computed together, as their windows overlap
    static constexpr int side_by_side = accumulators / shared;        // vectors of columns, each with sums for those outputs
    static constexpr int most_vectors = 8;                            // of columns at a time, where outputs are computed one by one
    static constexpr index tile_elements = 96 * 1024 / sizeof(T);

    const Job& job;
    const T* const table = static_cast<const T*>(job.table);
    const index up = job.up, down = job.down, taps = job.taps;
    const index times = periods();
    const index block = times * up, step = times * down;          // outputs of a block, and samples from one to the next
    const index blocks = (job.outputs + block - 1) / block;       // in a row of the data
    const index phases = smaller(block, job.outputs);             // outputs that a block has at most
    const index group = phases < shared ? most_vectors * W : side_by_side * W;  // columns computed at a time
    const index window = ahead(phases - 1) + taps;                // samples that a block needs
    const index dealt = smaller(step, window);                    // rows of a tile
    const index halo = (window - 1) / step;                       // columns that the last block needs beyond its own
    const index columns = rounded_up(                             // of a tile
        smaller(larger(tile_elements / dealt, 2 * halo + 2 * group), (blocks + halo) * job.rows), W);
    // Room for the halo, and for vectors that hang over the last column: an odd number of vectors, so that rows are aligned and do
    // not compete for the same lines of the cache.
    const index stride = (rounded_up(columns + halo + (columns > group / 2 ? group : W), W) / W | 1) * W;

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
        for (index i = 0; i < window; ++i) at[i] = i % step * stride + i / step;
        for (index i = 0; i < dealt * stride; ++i) tile[i] = 0;

        index row = 0, next = 0;
        while (row < job.rows) {
            index filled = 0;
            while (row < job.rows && filled + halo < columns) {
                const index here = smaller(blocks - next, columns - halo - filled);
                deal(filled, here + halo, static_cast<const Sample<T>*>(job.x) + row * job.x_row, job.first + next * step);
                T* y = static_cast<T*>(job.y) + row * job.y_row;
                for (index i = 0; i < here; ++i, ++next) {
                    column[filled++] = {y + next * block, smaller(block, job.outputs - next * block)};
                }
                if (next == blocks) next = 0, ++row;
                for (index i = 0; i < halo && row < job.rows; ++i) column[filled++] = {nullptr, 0};
            }
            for (index i = 0; i < group; ++i) column[filled + i] = {nullptr, 0};
            index c = 0;
            if (phases < shared) {
                for (; c + group / 2 < filled; c += group) compute<1, most_vectors>(c);
            } else {
                for (; c + group / 2 < filled; c += group) compute<shared, side_by_side>(c);
            }
            for (; c < filled; c += W) compute<int(smaller(W, 8)), 1>(c);
        }
        return true;
    }

private:
    // A block is `up` outputs, or so many times more that its outputs fill whole vectors; but there must be enough blocks.
    index periods() const {
        const index fill = W / common_power_of_two(up, W);
        return up < shared && job.rows * job.outputs >= 4 * W * fill * up ? fill : 1;
    }

    // How many samples after the window of output 0 that of output p begins.
    index ahead(index p) const { return (job.phase + p * down) / up; }

    // tile[r][to + c] = x[from + c * step + r]
    void deal(index to, index count, const Sample<T>* x, index from) {
        const index n = job.samples;
        T* const first = tile + to;
        index c = 0;
        const auto one = [&](index c) {
            for (index r = 0; r < dealt; ++r) {
                const index t = from + c * step + r;
                first[r * stride + c] = t >= 0 && t < n ? x[t] : T(0);
            }
        };
        for (; c < count && from + c * step < 0; ++c) one(c);
        const Sample<T>* const s = x + from;
        if (step == 1) {
            const index whole = smaller(count, n - from);
            for (; c < whole; ++c) first[c] = s[c];
        } else if (step == 2 && dealt == 2) {
            const index whole = smaller(count, (n - from) / 2);
            T *even = first, *odd = first + stride;
            for (; c < whole; ++c) even[c] = s[2 * c], odd[c] = s[2 * c + 1];
        } else {
            for (; c + W <= count && from + (c + W - 1) * step + rounded_up(dealt, W) <= n; c += W) {
                for (index r = 0; r < dealt; r += W) {
                    Full<T> v[W];
                    for (int i = 0; i < W; ++i) v[i] = load<Full<T>>(s + (c + i) * step + r);
                    transpose<T>(v);
                    const int there = int(smaller(W, dealt - r));
                    for (int i = 0; i < there; ++i) store(first + (r + i) * stride + c, v[i]);
                }
            }
        }
        for (; c < count; ++c) one(c);
    }

    // An output of all blocks in V vectors of columns.
    template <int V>
    struct Sums {
        T* y;              // [V * W]
        const T* tap;      // the next one
        index next, end;   // samples of a block's window: the one that this tap meets, and where the taps end
    };

    // Adds the products with the samples up to `end` to P outputs; all of them are at the same sample.
    template <int P, int V>
    INLINE void add(Sums<V>* of, const T* from, index end) const {
        Full<T> sum[P][V];
        const T* tap[P];
        for (int j = 0; j < P; ++j) {
            tap[j] = of[j].tap;
            for (int v = 0; v < V; ++v) sum[j][v] = load<Full<T>>(of[j].y + v * W);
        }
        const index* const where = at + of[0].next;
        const index count = end - of[0].next;
        for (index i = 0; i < count; ++i) {
            const T* const samples = from + where[i];
            Full<T> x[V];
            for (int v = 0; v < V; ++v) x[v] = load<Full<T>>(samples + v * W);
            for (int j = 0; j < P; ++j) {
                for (int v = 0; v < V; ++v) sum[j][v] = add_product<T, fused>(sum[j][v], x[v], tap[j][i]);
            }
        }
        for (int j = 0; j < P; ++j) {
            of[j].tap += count, of[j].next = end;
            for (int v = 0; v < V; ++v) store(of[j].y + v * W, sum[j][v]);
        }
    }

    // Brings P outputs up to sample `end` or to their own end: by themselves until their windows overlap, then together, so that a
    // sample is loaded once for all of them, and by themselves again.
    template <int P, int V>
    INLINE void advance(Sums<V>* of, const T* from, index end) const {
        const index until = smaller(end, of[0].end);
        if constexpr (P > 1) {
            const index overlap = of[P - 1].next;
            if (overlap < until) {
                advance<P / 2>(of, from, overlap), advance<P / 2>(of + P / 2, from, overlap);
                add<P>(of, from, until);
            }
            advance<P / 2>(of, from, end), advance<P / 2>(of + P / 2, from, end);
        } else if (of[0].next < until) {
            add<1>(of, from, until);
        }
    }

    // The last outputs, of which there are fewer than are computed together.
    template <int P, int V>
    INLINE void advance_rest(Sums<V>* of, int j, int count, const T* from) const {
        if constexpr (P > 0) {
            if (j + P <= count) advance<P>(of + j, from, of[j + P - 1].end), j += P;
            advance_rest<P / 2>(of, j, count, from);
        }
    }

    // All outputs of the blocks in V vectors of columns.
    template <int P, int V>
    INLINE void compute(index c) {
        T y[W][V * W];
        const T* const from = tile + c;
        const index down_whole = down / up, down_rest = down % up;
        index next = 0, phase = job.phase;  // of output p: where its window begins, and its row of the table
        for (index p = 0; p < phases; p += W) {
            const int count = int(smaller(W, phases - p));
            Sums<V> sums[W];
            for (int j = 0; j < count; ++j) {
                sums[j] = {y[j], table + phase * taps, next, next + taps};
                next += down_whole, phase += down_rest;
                if (phase >= up) ++next, phase -= up;
                for (int v = 0; v < V; ++v) store(y[j] + v * W, Full<T>{});
            }
            int j = 0;
            for (; j + P <= count; j += P) advance<P>(sums + j, from, sums[j + P - 1].end);
            advance_rest<P / 2>(sums, j, count, from);
            for (int v = 0; v < V; ++v) collect<V>(y, v * W, column + c + v * W, p, count);
        }
    }

    // Outputs p, ..., p + count - 1 of the blocks in some columns.
    template <int V>
    INLINE void collect(const T (*y)[V * W], int from, const Column<T>* to, index p, int count) {
        if (block == 1 && to[0].y && to[W - 1].y == to[0].y + (W - 1)) {
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

// Rates whose ratio has too many phases for a table of them: the taps of each output are computed from polynomials, and serve all
// rows. A sum is added up in `chains` times `L` parts, and these by halves, whatever the width of the vectors: so the bits depend on
// the row and the place of the output alone.
template <class T>
class Between {
    static constexpr int W = lanes<T>, L = 64 / int(sizeof(T)), N = L / W, chains = 4;

    const Job& job;
    const index taps = job.taps;  // a multiple of L
    const double pieces_per_tick = double(job.pieces) / double(job.up);

public:
    explicit Between(const Job& job_) : job(job_) {}

    bool operator()() {
        const Scratch<T> weights(taps), window(taps);
        if (!weights.get() || !window.get()) return false;
        const index whole = job.down / job.up, rest = job.down % job.up;
        index first = job.first, phase = job.phase;
        for (index i = 0; i < job.outputs; ++i) {
            weigh(weights.get(), phase);
            for (index row = 0; row < job.rows; ++row) {
                const auto* const x = static_cast<const Sample<T>*>(job.x) + row * job.x_row;
                const void* from = x + first;
                if (first < 0 || first + taps > job.samples) {
                    for (index k = 0; k < taps; ++k) {
                        const index t = first + k;
                        window.get()[k] = t >= 0 && t < job.samples ? x[t] : T(0);
                    }
                    from = window.get();
                }
                (static_cast<T*>(job.y) + row * job.y_row)[i] = sum(weights.get(), static_cast<const Sample<T>*>(from));
            }
            first += whole, phase += rest;
            if (phase >= job.up) ++first, phase -= job.up;
        }
        return true;
    }

private:
    // The taps at phase / up: of a piece of the impulse response, and the place within it.
    void weigh(T* weights, index phase) const {
        const double place = double(phase) * pieces_per_tick;
        const index piece = index(place);
        const T* const c = static_cast<const T*>(job.table) + piece * 4 * taps;
        const Full<T> t = splat<T>(T(place - double(piece)));
        for (index k = 0; k < taps; k += W) {
            const auto coefficient = [&](int power) { return load<Full<T>>(c + power * taps + k); };
            Full<T> h = multiply_add<T>(coefficient(3), t, coefficient(2));
            h = multiply_add<T>(h, t, coefficient(1));
            store(weights + k, multiply_add<T>(h, t, coefficient(0)));
        }
    }

    // The sum of all lanes.
    template <int H>
    static T by_halves(Full<T> v) {
        if constexpr (H == 0) {
            return v[0];
        } else {
            return by_halves<H / 2>(v + upper<H>(v, std::make_integer_sequence<int, W>()));
        }
    }

    template <int H, int... I>
    static Full<T> upper(Full<T> v, std::integer_sequence<int, I...>) {
        return __builtin_shufflevector(v, v, ((I + H) % W)...);
    }

    T sum(const T* weights, const Sample<T>* x) const {
        Full<T> part[chains][N] = {};
        const auto add = [&](int chain, index k) {
            for (int n = 0; n < N; ++n) {
                part[chain][n] = multiply_add<T>(load<Full<T>>(x + k + n * W), load<Full<T>>(weights + k + n * W), part[chain][n]);
            }
        };
        index k = 0;
        for (; k + chains * L <= taps; k += chains * L) {
            for (int chain = 0; chain < chains; ++chain) add(chain, k + chain * L);
        }
        for (int chain = 0; chain < chains - 1; ++chain, k += L) {
            if (k < taps) add(chain, k);
        }
        Full<T> total[N];
        for (int n = 0; n < N; ++n) total[n] = (part[0][n] + part[1][n]) + (part[2][n] + part[3][n]);
        for (int half = N / 2; half > 0; half /= 2) {
            for (int n = 0; n < half; ++n) total[n] += total[n + half];
        }
        return by_halves<W / 2>(total[0]);
    }
};

template <class T>
bool run_as(const Job& job) {
    if (job.pieces > 0) return Between<T>(job)();
    return job.fused ? Run<T, true>(job)() : Run<T, false>(job)();
}

bool run(const Job& job) { return job.single_precision ? run_as<float>(job) : run_as<double>(job); }

}  // namespace

BRIDGEFLOW_DEFINE_KERNEL(run);

}  // namespace bridgeflow::resample
