// Checksums and values of pages, for one instruction set (CMakeLists.txt compiles this once for each).

#include "kernel.hpp"

#include "../../signal/native/vectors.hpp"

#if defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

namespace bridgeflow::pages {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 reflected_polynomial = 0xEDB88320;

// --- CRC-32 by tables: eight bytes a step ---

struct Tables {
    u32 of[8][256];
};

constexpr Tables tables = [] {
    Tables made{};
    for (u32 byte = 0; byte < 256; ++byte) {
        u32 crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? reflected_polynomial : 0);
        made.of[0][byte] = crc;
    }
    for (int later = 1; later < 8; ++later) {
        for (u32 byte = 0; byte < 256; ++byte) {
            const u32 before = made.of[later - 1][byte];
            made.of[later][byte] = before >> 8 ^ made.of[0][before & 255];
        }
    }
    return made;
}();

// Here and below `state` is the complement of a CRC-32.
INLINE u32 with_byte(u32 state, u8 byte) { return state >> 8 ^ tables.of[0][(state ^ byte) & 255]; }

u32 crc_by_tables(u32 state, const u8* data, index nbytes) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; nbytes >= 8; data += 8, nbytes -= 8) {
        const u64 word = load_one<u64>(reinterpret_cast<const char*>(data)) ^ state;
        state = 0;
        for (int byte = 0; byte < 8; ++byte) state ^= tables.of[7 - byte][word >> 8 * byte & 255];
    }
#endif
    for (; nbytes > 0; ++data, --nbytes) state = with_byte(state, *data);
    return state;
}

// --- CRC-32 by carry-less products ---
//
// V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. 128 bits of the
// message, D bits before others, may be added to those once they are multiplied by x^D modulo the polynomial: their halves by
// x^(D + 32) and x^(D - 32), in reflected order. What is left in the end, 16 bytes, has the CRC of the message.

#if defined(__PCLMUL__)

constexpr u64 power(int exponent) {  // x^exponent modulo the polynomial, reflected, and one place up
    u32 value = 0x80000000;
    for (int step = 0; step < exponent; ++step) value = value >> 1 ^ (value & 1 ? reflected_polynomial : 0);
    return u64(value) << 1;
}

template <int Distance>
INLINE __m128i fold(__m128i x, __m128i next) {
    constexpr u64 far = power(Distance + 32), near = power(Distance - 32);
    const __m128i powers = _mm_set_epi64x(near, far);
    const __m128i low = _mm_clmulepi64_si128(x, powers, 0x00), high = _mm_clmulepi64_si128(x, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

INLINE __m128i load_128(const u8* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

u32 crc_by_products(u32 state, const u8* data, index nbytes) {
    if (nbytes < 64) return crc_by_tables(state, data, nbytes);
    __m128i x[4];
    for (int i = 0; i < 4; ++i) x[i] = load_128(data + 16 * i);
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128(int(state)));
    for (data += 64, nbytes -= 64; nbytes >= 64; data += 64, nbytes -= 64) {
        for (int i = 0; i < 4; ++i) x[i] = fold<512>(x[i], load_128(data + 16 * i));
    }
    __m128i rest = fold<128>(fold<128>(fold<128>(x[0], x[1]), x[2]), x[3]);
    for (; nbytes >= 16; data += 16, nbytes -= 16) rest = fold<128>(rest, load_128(data));
    u8 bytes[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), rest);
    return crc_by_tables(crc_by_tables(0, bytes, 16), data, nbytes);
}

#endif

#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)

template <int Distance>
INLINE __m512i fold(__m512i x, __m512i next) {
    constexpr u64 far = power(Distance + 32), near = power(Distance - 32);
    const __m512i powers = _mm512_set_epi64(near, far, near, far, near, far, near, far);
    const __m512i low = _mm512_clmulepi64_epi128(x, powers, 0x00), high = _mm512_clmulepi64_epi128(x, powers, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // the sum of all three
}

u32 crc_by_wide_products(u32 state, const u8* data, index nbytes) {
    if (nbytes < 256) return crc_by_products(state, data, nbytes);
    __m512i x[4];
    for (int i = 0; i < 4; ++i) x[i] = _mm512_loadu_si512(data + 64 * i);
    x[0] = _mm512_xor_si512(x[0], _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, std::int64_t(state)));
    for (data += 256, nbytes -= 256; nbytes >= 256; data += 256, nbytes -= 256) {
        for (int i = 0; i < 4; ++i) x[i] = fold<2048>(x[i], _mm512_loadu_si512(data + 64 * i));
    }
    u8 bytes[64];
    _mm512_storeu_si512(bytes, fold<512>(fold<512>(fold<512>(x[0], x[1]), x[2]), x[3]));
    return crc_by_products(crc_by_products(0, bytes, 64), data, nbytes);
}

#endif

#if defined(__aarch64__)

__attribute__((target("+crc"))) u32 crc_by_instruction(u32 state, const u8* data, index nbytes) {
    for (; nbytes >= 8; data += 8, nbytes -= 8) {
        state = __crc32d(state, load_one<u64>(reinterpret_cast<const char*>(data)));
    }
    for (; nbytes > 0; ++data, --nbytes) state = __crc32b(state, *data);
    return state;
}

bool has_crc_instruction() {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & (1UL << 7)) != 0;  // HWCAP_CRC32
#else
    return true;  // all of Apple's
#endif
}

#endif

u32 crc32(u32 crc, const u8* data, index nbytes) {
#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)
    return ~crc_by_wide_products(~crc, data, nbytes);
#elif defined(__PCLMUL__)
    return ~crc_by_products(~crc, data, nbytes);
#elif defined(__aarch64__)
    static const bool by_instruction = has_crc_instruction();
    return ~(by_instruction ? crc_by_instruction : crc_by_tables)(~crc, data, nbytes);
#else
    return ~crc_by_tables(~crc, data, nbytes);
#endif
}

// --- values ---

using Bytes = Vec<u8, 16>;

template <class V>
INLINE V low_halves(V a, V b) {  // a0 b0 a1 b1 ..., in elements of one byte
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

template <class V>
INLINE V high_halves(V a, V b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// Sixteen values of Width bytes a step. Interleaving stream k with stream k + Width / 2 throughout, log2(Width) times, puts the
// bytes of each value side by side.
template <int Width>
void join_streams_of(const u8* streams, index all, index first, index count, u8* out) {
    index done = 0;
    for (; done + 16 <= count; done += 16) {
        Bytes v[Width], w[Width];
        for (int k = 0; k < Width; ++k) v[k] = load<Bytes>(streams + k * all + first + done);
        for (int step = 1; step < Width; step *= 2) {
            for (int k = 0; k < Width / 2; ++k) {
                w[2 * k] = low_halves(v[k], v[k + Width / 2]);
                w[2 * k + 1] = high_halves(v[k], v[k + Width / 2]);
            }
            for (int k = 0; k < Width; ++k) v[k] = w[k];
        }
        for (int k = 0; k < Width; ++k) store(out + done * Width + 16 * k, v[k]);
    }
    for (; done < count; ++done) {
        for (int k = 0; k < Width; ++k) out[done * Width + k] = streams[k * all + first + done];
    }
}

void join_streams(const u8* streams, index all, index first, index count, int width, u8* out) {
    if (width == 2) return join_streams_of<2>(streams, all, first, count, out);
    if (width == 4) return join_streams_of<4>(streams, all, first, count, out);
    return join_streams_of<8>(streams, all, first, count, out);
}

template <class T>
void narrow_to(const u8* values, index count, u8* out) {
    for (index i = 0; i < count; ++i) {
        const T value = T(load_one<u32>(reinterpret_cast<const char*>(values + 4 * i)));
        store_one(reinterpret_cast<char*>(out) + i * index(sizeof(T)), value);
    }
}

void narrow(const u8* values, index count, int to, u8* out) {
    if (to == 1) return narrow_to<u8>(values, count, out);
    narrow_to<std::uint16_t>(values, count, out);
}

void unpack(const u8* packed, const u8* end, int bits, index first, index count, u32* out) {
    const u64 mask = (u64(1) << bits) - 1;
    u64 bit = u64(first) * u64(bits);
    index i = 0;
    for (; i < count && packed + bit / 8 + 8 <= end; ++i, bit += bits) {
        out[i] = u32(load_one<u64>(reinterpret_cast<const char*>(packed + bit / 8)) >> bit % 8 & mask);
    }
    for (; i < count; ++i, bit += bits) {  // so near the end that eight bytes would reach beyond it
        u64 word = 0;
        for (const u8 *from = packed + bit / 8, *byte = from; byte < end && byte < from + 8; ++byte) {
            word |= u64(*byte) << 8 * (byte - from);
        }
        out[i] = u32(word >> bit % 8 & mask);
    }
}

template <class T>
void look_up_in(const u32* indices, index count, const u8* dictionary, u8* out) {
    const char* values = reinterpret_cast<const char*>(dictionary);
    for (index i = 0; i < count; ++i) {
        store_one(reinterpret_cast<char*>(out) + i * index(sizeof(T)), load_one<T>(values + index(indices[i]) * index(sizeof(T))));
    }
}

bool look_up(const u32* indices, index count, const u8* dictionary, index size, int width, u8* out) {
    u32 most = 0;
    for (index i = 0; i < count; ++i) most = indices[i] > most ? indices[i] : most;
    if (count > 0 && index(most) >= size) return false;
    if (width == 1) look_up_in<u8>(indices, count, dictionary, out);
    if (width == 2) look_up_in<std::uint16_t>(indices, count, dictionary, out);
    if (width == 4) look_up_in<u32>(indices, count, dictionary, out);
    if (width == 8) look_up_in<u64>(indices, count, dictionary, out);
    return true;
}

bool is_supported() {
#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)
    return supported() && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("vpclmulqdq");
#elif defined(__PCLMUL__)
    return supported() && __builtin_cpu_supports("pclmul");
#else
    return supported();
#endif
}

}  // namespace

extern const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA);
const Kernel BRIDGEFLOW_JOIN(kernel_, BRIDGEFLOW_ISA) = {BRIDGEFLOW_STRING(BRIDGEFLOW_ISA), is_supported, crc32, join_streams, narrow,
                                                         unpack, look_up};

}  // namespace bridgeflow::pages
