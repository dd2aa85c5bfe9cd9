// The kernels themselves, for any processor that a `Machine` describes:
//
//   bytes                  the size of its registers
//   fma(a, b, c)           a * b + c
//   scale(a, n)            a * 2^n for whole n from -1080 to 1025, rounded once even where the result is denormal
//   larger(a, b)           as choose(), and
//   smaller(a, b)          left out where the compiler's way is as good
//   any(mask)              whether any lane of a comparison's result is set
//   stream(to, line)       stores 64 bytes to a multiple of 64, past the caches
//   stream_end()           orders such stores before those that follow
//   lines_ahead            how far ahead, in lines of 64 bytes, sums ask for what lies in the third cache, so that it
//                          arrives in time; 0 where the processor brings it near by itself, and asking costs
//
// A file that is included by those of several processors: see table.h for why all is in an unnamed namespace.
#pragma once
#include <cstdint>
#include <utility>

#include "table.h"

namespace buffers::detail {
namespace {

template <class T, std::size_t Bytes>
struct vector_type {
  typedef T type __attribute__((vector_size(Bytes)));
};
template <class T, std::size_t Bytes>
using vec = typename vector_type<T, Bytes>::type;

// How a floating-point number looks, and what its functions need to know.
template <class T>
struct ieee;
template <>
struct ieee<float> {
  using bits = std::int32_t;
  using unsigned_bits = std::uint32_t;
  static constexpr int mantissa = 23, bias = 127;
};
template <>
struct ieee<double> {
  using bits = std::int64_t;
  using unsigned_bits = std::uint64_t;
  static constexpr int mantissa = 52, bias = 1023;
};

template <class V, class T>
[[gnu::always_inline]] inline V load(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <class V, class T>
[[gnu::always_inline]] inline void store(T* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

template <class T, std::size_t Bytes>
using bits_of = vec<typename ieee<T>::bits, Bytes>;

// 2^n, for whole n from -bias + 1 to bias.
template <class T, std::size_t Bytes>
[[gnu::always_inline]] inline vec<T, Bytes> power_of_two(bits_of<T, Bytes> n) {
  return (vec<T, Bytes>)((n + ieee<T>::bias) << ieee<T>::mantissa);
}

// For machines that have no instruction for it: in two steps, of which the first is exact.
template <class T, std::size_t Bytes>
[[gnu::always_inline]] inline vec<T, Bytes> scale_in_two_steps(vec<T, Bytes> a, vec<T, Bytes> n) {
  constexpr T magic = T(3) * (typename ieee<T>::unsigned_bits(1) << (ieee<T>::mantissa - 1));
  const auto whole = (bits_of<T, Bytes>)(n + magic) - (bits_of<T, Bytes>)(vec<T, Bytes>{} + magic);
  const auto half = whole >> 1;
  return a * power_of_two<T, Bytes>(half) * power_of_two<T, Bytes>(whole - half);
}

// --- exp and log -----------------------------------------------------------------------------------------------------

// c[0] + x * (c[1] + x * (c[2] + ...))
template <class Machine, class V, class T, std::size_t N>
[[gnu::always_inline]] inline V polynomial(V x, const T (&c)[N]) {
  V y = V{} + c[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) y = Machine::fma(x, y, V{} + c[i]);
  return y;
}

// exp(x) = 2^n * exp(r), x = n * ln 2 + r, and exp(r) = 1 + (r + r^2 * q(r)). ln 2 is taken in two parts of which the
// first has so few bits that n times it is exact. The polynomials are minimax in the relative error of exp(r); the last
// bits of that of float are those with which the worst of all floats is least: 0.987 ulp off, without fused operations
// 0.961.
template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
  static constexpr float least = -104, most = 89;  // beyond: 0 and infinity
  static constexpr float log2e = 0x1.715476p+0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float magic = 0x1.8p+23f;  // added and subtracted, it rounds to a whole number
  static constexpr float q[] = {0x1.fffffap-2f, 0x1.555450p-3f, 0x1.5558e8p-5f, 0x1.12575ap-7f, 0x1.6a1dacp-10f};
};
template <>
struct exp_constants<double> {
  static constexpr double least = -746, most = 710;
  static constexpr double log2e = 0x1.71547652b82fep+0, ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
  static constexpr double magic = 0x1.8p+52;
  static constexpr double q[] = {0x1p-1,
                                 0x1.555555555555bp-3,
                                 0x1.55555555554fcp-5,
                                 0x1.111111110ec08p-7,
                                 0x1.6c16c16c32b2fp-10,
                                 0x1.a01a01b39f371p-13,
                                 0x1.a01a012b13cfcp-16,
                                 0x1.71ddefce12de0p-19,
                                 0x1.27e5cc7169a2bp-22,
                                 0x1.af6c78e93b7a0p-26,
                                 0x1.1e17eaedd8febp-29};
};

template <class Machine, class T>
[[gnu::always_inline]] inline vec<T, Machine::bytes> exp_of(vec<T, Machine::bytes> x) {
  using V = vec<T, Machine::bytes>;
  using c = exp_constants<T>;
  x = x > c::most ? V{} + c::most : x;  // a NaN stays
  x = x < c::least ? V{} + c::least : x;
  const V n = Machine::fma(x, V{} + c::log2e, V{} + c::magic) - c::magic;
  V r = Machine::fma(n, V{} - c::ln2_high, x);
  r = Machine::fma(n, V{} - c::ln2_low, r);
  const V q = polynomial<Machine>(r, c::q);
  return Machine::scale(Machine::fma(r * r, q, r) + T(1), n);
}

// log(x) = k * ln 2 + log(1 + f), x = 2^k * (1 + f), 1 + f from sqrt(1/2) to sqrt(2).
template <class T>
struct log_constants;
template <>
struct log_constants<float> {
  static constexpr std::int32_t sqrt_half = 0x3f3504f3;
  static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  // log(1 + f) = f - f^2 / 2 + f^3 * p(f)
  static constexpr float p[] = {0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a00cp-3f, -0x1.547228p-3f,
                                0x1.22d9c6p-3f, -0x1.0d8610p-3f, 0x1.055e48p-3f, -0x1.38b848p-4f};
};
template <>
struct log_constants<double> {
  static constexpr std::int64_t sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
  // log(1 + f) = 2 * s + s^3 * p(s^2) for s = f / (2 + f)
  static constexpr double p[] = {0x1.5555555555592p-1, 0x1.999999997fd37p-2, 0x1.24924941f8c5ap-2, 0x1.c71c5202c2510p-3,
                                 0x1.746640577a7d7p-3, 0x1.39a193c564641p-3, 0x1.2f06feed189d8p-3};
};

template <class Machine>
[[gnu::always_inline]] inline vec<float, Machine::bytes> log_sum(vec<float, Machine::bytes> f,
                                                                 vec<float, Machine::bytes> k) {
  using V = vec<float, Machine::bytes>;
  using c = log_constants<float>;
  const V square = f * f;
  const V p = polynomial<Machine>(f, c::p);
  V rest = Machine::fma(k, V{} + c::ln2_low, square * (f * p));
  rest = Machine::fma(square, V{} - 0.5f, rest);
  return Machine::fma(k, V{} + c::ln2_high, f + rest);
}
template <class Machine>
[[gnu::always_inline]] inline vec<double, Machine::bytes> log_sum(vec<double, Machine::bytes> f,
                                                                  vec<double, Machine::bytes> k) {
  using V = vec<double, Machine::bytes>;
  using c = log_constants<double>;
  const V s = f / (f + 2.0);
  const V z = s * s;
  const V half_square = f * f * 0.5;
  const V p = z * polynomial<Machine>(z, c::p);
  // f - (h - s * (h + p)), which is 2 * s + s * p with the rounding errors of the division kept away from f
  const V rest = Machine::fma(s, half_square + p, k * c::ln2_low) - half_square;
  return Machine::fma(k, V{} + c::ln2_high, f + rest);
}

template <class Machine, class T>
[[gnu::always_inline]] inline vec<T, Machine::bytes> log_of_normal(vec<T, Machine::bytes> x, T k_more) {
  using V = vec<T, Machine::bytes>;
  using B = bits_of<T, Machine::bytes>;
  constexpr auto one = typename ieee<T>::bits(1) << ieee<T>::mantissa;
  const B above = (B)x - log_constants<T>::sqrt_half;
  const V k = __builtin_convertvector(above >> ieee<T>::mantissa, V) + k_more;
  const V m = (V)((above & (one - 1)) + log_constants<T>::sqrt_half);
  return log_sum<Machine>(m - T(1), k);
}

// A vector in which something is zero, negative, denormal, infinite or NaN.
template <class Machine, class T>
[[gnu::noinline, gnu::cold]] void log_of_special(const T* from, T* to) {
  using V = vec<T, Machine::bytes>;
  const V x = load<V>(from);
  constexpr T least_normal = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);
  const V infinity = V{} + T(__builtin_inf()), nan = V{} + T(__builtin_nan(""));
  const V normal = log_of_normal<Machine>(x, T(0));
  const V denormal = log_of_normal<Machine>(x * (T(1) / least_normal), sizeof(T) == 4 ? T(-126) : T(-1022));
  V y = x < least_normal ? denormal : normal;
  y = x == T(0) ? -infinity : y;
  y = x == infinity ? infinity : y;
  store(to, x >= T(0) ? y : nan);
}

template <class Machine, class T>
[[gnu::always_inline]] inline void log_to(const T* from, T* to) {
  using V = vec<T, Machine::bytes>;
  using U = vec<typename ieee<T>::unsigned_bits, Machine::bytes>;
  constexpr auto one = typename ieee<T>::unsigned_bits(1) << ieee<T>::mantissa;
  const V x = load<V>(from);
  if (Machine::any((bits_of<T, Machine::bytes>)((U)x - one >= one * (2 * ieee<T>::bias)))) [[unlikely]]
    log_of_special<Machine>(from, to);
  else
    store(to, log_of_normal<Machine>(x, T(0)));
}

template <class Machine, class T>
[[gnu::always_inline]] inline void exp_to(const T* from, T* to) {
  store(to, exp_of<Machine, T>(load<vec<T, Machine::bytes>>(from)));
}

// f from vector to vector, the last one through a full one.
template <class Machine, class T, class F>
[[gnu::always_inline]] inline void map_through_caches(const T* x, T* y, std::size_t n, F f) {
  constexpr std::size_t width = Machine::bytes / sizeof(T);
  std::size_t i = 0;
  // Two at once keep the processor's pipelines fuller than its own looking ahead does.
  for (; i + 2 * width <= n; i += 2 * width) {
    f(x + i, y + i);
    f(x + i + width, y + i + width);
  }
  for (; i + width <= n; i += width) f(x + i, y + i);
  if (i == n) return;
  T rest[width];
  store(rest, vec<T, Machine::bytes>{} + T(1));
  __builtin_memcpy(rest, x + i, (n - i) * sizeof(T));
  f(rest, rest);
  __builtin_memcpy(y + i, rest, (n - i) * sizeof(T));
}

// ... past the caches what fills a line of y.
template <class Machine, class T, class F>
[[gnu::always_inline]] inline void map(const T* x, T* y, std::size_t n, bool past_caches, F f) {
  if (past_caches) {
    constexpr std::size_t width = Machine::bytes / sizeof(T), side = 64 / sizeof(T);
    std::size_t before = (-reinterpret_cast<std::uintptr_t>(y) & 63) / sizeof(T);
    if (before > n) before = n;
    map_through_caches<Machine>(x, y, before, f);
    for (x += before, y += before, n -= before; n >= side; x += side, y += side, n -= side) {
      alignas(64) T line[side];
      for (std::size_t i = 0; i < side; i += width) f(x + i, line + i);
      Machine::stream(y, line);
    }
  }
  map_through_caches<Machine>(x, y, n, f);
}

template <class Machine, class T>
void exp(const T* x, T* y, std::size_t n, bool past_caches) {
  map<Machine>(x, y, n, past_caches, [](const T* from, T* to) { exp_to<Machine>(from, to); });
}
template <class Machine, class T>
void log(const T* x, T* y, std::size_t n, bool past_caches) {
  map<Machine>(x, y, n, past_caches, [](const T* from, T* to) { log_to<Machine>(from, to); });
}

// --- short rows ------------------------------------------------------------------------------------------------------

// What rows are made of on every machine, so that sums add in the same order: lines of 64 bytes. The compiler splits
// them; where they are to stay in registers, they are taken apart here, because GCC keeps such vectors in memory.
template <class T>
using line = vec<T, 64>;
template <class T>
inline constexpr std::size_t line_size = 64 / sizeof(T);
template <class Machine>
inline constexpr std::size_t line_parts = 64 / Machine::bytes;

template <std::size_t From, class V, std::size_t... I>
[[gnu::always_inline]] inline auto part_of(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, From + I...);
}

// The even or the odd lanes of both, by 16 bytes: what crosses those is slow.
template <std::size_t Odd, class V, std::size_t... I>
[[gnu::always_inline]] inline V every_other(V a, V b, std::index_sequence<I...>) {
  constexpr std::size_t all = sizeof...(I), here = 16 * all / sizeof(V);  // lanes of a vector, and of 16 bytes
  return __builtin_shufflevector(a, b,
                                 (I / here * here + I % here % (here / 2) * 2 + I % here / (here / 2) * all + Odd)...);
}
// The even or the odd 16 bytes of both.
template <std::size_t Odd, class V, std::size_t... I>
[[gnu::always_inline]] inline V every_other_16_bytes(V a, V b, std::index_sequence<I...>) {
  constexpr std::size_t here = 16 * sizeof...(I) / sizeof(V);
  return __builtin_shufflevector(a, b, ((I / here * 2 + Odd) * here + I % here)...);
}
template <class Op, class V, class Lanes>
[[gnu::always_inline]] inline V pairs_combined(V a, V b, Lanes lanes) {
  return Op::combine(every_other<0>(a, b, lanes), every_other<1>(a, b, lanes));
}

// The halves of a line in registers, combined: 32 bytes in one register, or in two where they have 16.
template <class Op, class T, class P, std::size_t Parts, class V, std::size_t Halves>
[[gnu::always_inline]] inline void combine_halves(const P (&line)[Parts], V (&out)[Halves]) {
  if constexpr (Parts == 1) {
    using half = std::make_index_sequence<line_size<T> / 2>;
    out[0] = Op::combine(part_of<0>(line[0], half{}), part_of<line_size<T> / 2>(line[0], half{}));
  } else {
    for (std::size_t h = 0; h < Halves; ++h) out[h] = Op::combine(line[h], line[h + Halves]);
  }
}

// The lanes of a last line that ends with the row which the lines before it do not hold, for rows of these columns.
template <class Machine, class T>
struct last_lanes {
  bits_of<T, Machine::bytes> parts[line_parts<Machine>];
  explicit last_lanes(std::size_t columns) {
    constexpr std::size_t width = line_size<T>;
    typename ieee<T>::bits lanes[width] = {};
    for (std::size_t i = width - columns % width; i < width; ++i) lanes[i] = -1;
    __builtin_memcpy(parts, lanes, sizeof parts);
  }
};

// Rows of at least one line, as many as a line has lanes, a quarter of them at a time.
template <class Machine, class Op, class T>
[[gnu::always_inline]] inline void reduce_line_of_rows(const T* x, std::size_t columns, std::ptrdiff_t row_stride,
                                                       const last_lanes<Machine, T>& last, T* out) {
  constexpr std::size_t width = line_size<T>, rows = width / 4;
  constexpr std::size_t parts = line_parts<Machine>, lanes = width / parts;
  using P = vec<T, Machine::bytes>;
  using V = vec<T, (Machine::bytes < 32 ? 16 : 32)>;
  constexpr std::size_t halves = 32 / sizeof(V);
  constexpr std::make_index_sequence<sizeof(V) / sizeof(T)> all{};
  V results[4][halves];  // each has a part of a row's result in its low 16 bytes, and another one in its high
  for (std::size_t quarter = 0; quarter < 4; ++quarter, x += static_cast<std::ptrdiff_t>(rows) * row_stride) {
    const auto part_at = [&](std::size_t r, std::size_t p, std::size_t column) __attribute__((always_inline)) {
      return load<P>(x + static_cast<std::ptrdiff_t>(r) * row_stride + column + p * lanes);
    };
    P a[rows][parts];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (std::size_t p = 0; p < parts; ++p) a[r][p] = Op::first(part_at(r, p, 0));
    for (std::size_t column = width; column + width <= columns; column += width)
#pragma GCC unroll 4
      for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (std::size_t p = 0; p < parts; ++p) a[r][p] = Op::combine(a[r][p], part_at(r, p, column));
    if (columns % width != 0)
#pragma GCC unroll 4
      for (std::size_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (std::size_t p = 0; p < parts; ++p)
          a[r][p] = Op::combine(a[r][p], Op::last(part_at(r, p, columns - width), last.parts[p]));
    V v[rows][halves];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < rows; ++r) combine_halves<Op, T>(a[r], v[r]);
#pragma GCC unroll 2
    for (std::size_t h = 0; h < halves; ++h) {
      results[quarter][h] = pairs_combined<Op>(v[0][h], v[1][h], all);
      if constexpr (rows == 4)
        results[quarter][h] = pairs_combined<Op>(results[quarter][h], pairs_combined<Op>(v[2][h], v[3][h], all), all);
    }
  }
  if constexpr (halves == 1)
    for (std::size_t q = 0; q < 4; q += 2)
      store(out + q * rows, Op::combine(every_other_16_bytes<0>(results[q][0], results[q + 1][0], all),
                                        every_other_16_bytes<1>(results[q][0], results[q + 1][0], all)));
  else
    for (std::size_t q = 0; q < 4; ++q) store(out + q * rows, Op::combine(results[q][0], results[q][1]));
}

// As many rows as come in such groups, of which the number is returned.
template <class Machine, class Op, class T>
[[gnu::always_inline]] inline std::size_t reduce_short_rows(const T* x, std::size_t rows, std::size_t columns,
                                                            std::ptrdiff_t row_stride, T* out) {
  constexpr std::size_t width = line_size<T>;
  if (rows < width) return 0;
  const last_lanes<Machine, T> last(columns);
  std::size_t r = 0;
  for (; r + width <= rows; r += width, x += static_cast<std::ptrdiff_t>(width) * row_stride)
    reduce_line_of_rows<Machine, Op>(x, columns, row_stride, last, out + r);
  return r;
}

// --- sums ------------------------------------------------------------------------------------------------------------

// The sum of the lanes of one vector of doubles, in halves.
template <std::size_t Size, class V>
[[gnu::always_inline]] inline double sum_of_lanes(V v) {
  if constexpr (Size == 2) {
    return v[0] + v[1];
  } else {
    using half = std::make_index_sequence<Size / 2>;
    return sum_of_lanes<Size / 2>(part_of<0>(v, half{}) + part_of<Size / 2>(v, half{}));
  }
}
[[gnu::always_inline]] inline double sum_of_line(line<double> v) { return sum_of_lanes<8>(v); }
[[gnu::always_inline]] inline double sum_of_line(line<float> v) {
  using half = std::make_index_sequence<8>;
  return sum_of_lanes<8>(__builtin_convertvector(part_of<0>(v, half{}), line<double>) +
                         __builtin_convertvector(part_of<8>(v, half{}), line<double>));
}

// a + b; what rounding took from it goes to `error` (Knuth's TwoSum).
template <class V>
[[gnu::always_inline]] inline V sum_and_error(V a, V b, V& error) {
  const V sum = a + b, of_b = sum - a;
  error += (a - (sum - of_b)) + (b - of_b);
  return sum;
}
// The sum of the lanes, in halves, with such errors.
template <std::size_t Size, class V>
[[gnu::always_inline]] inline double sum_of_lanes(V v, V errors) {
  if constexpr (Size == 1) {
    return __builtin_isfinite(errors[0]) ? v[0] + errors[0] : v[0];  // the error of an infinite sum is not a number
  } else {
    using half = std::make_index_sequence<Size / 2>;
    auto error = part_of<0>(errors, half{}) + part_of<Size / 2>(errors, half{});
    const auto sum = sum_and_error(part_of<0>(v, half{}), part_of<Size / 2>(v, half{}), error);
    return sum_of_lanes<Size / 2>(sum, error);
  }
}

// Sums of lines, of which each lane is a sum of its own: in twice the precision.
template <class T>
class line_total;
template <>
class line_total<float> {
 public:
  [[gnu::always_inline]] inline void add(line<float> part) {
    using half = std::make_index_sequence<8>;
    low_ += __builtin_convertvector(part_of<0>(part, half{}), line<double>);
    high_ += __builtin_convertvector(part_of<8>(part, half{}), line<double>);
  }
  [[gnu::always_inline]] inline void add(const line_total& other) {
    low_ += other.low_;
    high_ += other.high_;
  }
  [[gnu::always_inline]] inline line<float> value() const {
    const auto low = __builtin_convertvector(low_, vec<float, 32>),
               high = __builtin_convertvector(high_, vec<float, 32>);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  [[gnu::always_inline]] inline double of_lanes() const { return sum_of_line(low_ + high_); }

 private:
  line<double> low_{}, high_{};
};
template <>
class line_total<double> {
 public:
  [[gnu::always_inline]] inline void add(line<double> part) { sum_ = sum_and_error(sum_, part, error_); }
  [[gnu::always_inline]] inline void add(const line_total& other) {
    add(other.sum_);
    error_ += other.error_;
  }
  [[gnu::always_inline]] inline line<double> value() const {
    return error_ - error_ == 0 ? sum_ + error_ : sum_;  // the error of an infinite sum is not a number
  }
  [[gnu::always_inline]] inline double of_lanes() const { return sum_of_lanes<8>(sum_, error_); }

 private:
  line<double> sum_{}, error_{};
};

// A block: eight lines side by side, at most sixteen times.
template <class T>
inline constexpr std::size_t block_size = 16 * 8 * line_size<T>;

// Bytes from which on it pays to ask for lines ahead. What lies nearer takes longer when it is asked for.
inline constexpr std::size_t fetched_ahead = 512 << 10;

// There need be nothing so far ahead: the processor finds out.
template <std::size_t Lines, class T>
[[gnu::always_inline]] inline void fetch_ahead(const T* line) {
  if constexpr (Lines > 0)
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(line) + Lines * 64));
}

// The sum of all lines of up to a block; what is left behind them goes to `rest`.
template <class Machine, std::size_t Ahead = 0, class T>
[[gnu::always_inline]] inline line<T> sum_of_lines(const T* x, std::size_t n, double& rest) {
  using V = vec<T, Machine::bytes>;
  constexpr std::size_t width = line_size<T>, parts = line_parts<Machine>, lanes = width / parts;
  V a[8 * parts] = {};
  std::size_t i = 0;
  for (; i + 8 * width <= n; i += 8 * width)
#pragma GCC unroll 32
    for (std::size_t k = 0; k < 8 * parts; ++k) {
      if (k % parts == 0) fetch_ahead<Ahead>(x + i + k * lanes);
      a[k] += load<V>(x + i + k * lanes);
    }
#pragma GCC unroll 8
  for (std::size_t k = 0; k < 7; ++k)
    if (i + width <= n) {
#pragma GCC unroll 4
      for (std::size_t p = 0; p < parts; ++p) a[k * parts + p] += load<V>(x + i + p * lanes);
      i += width;
    }
  for (; i < n; ++i) rest += x[i];
  V sums[parts];
#pragma GCC unroll 4
  for (std::size_t p = 0; p < parts; ++p) {
    const V* const b = a + p;
    sums[p] = ((b[0] + b[4 * parts]) + (b[parts] + b[5 * parts])) +
              ((b[2 * parts] + b[6 * parts]) + (b[3 * parts] + b[7 * parts]));
  }
  return load<line<T>>(sums);
}

template <class Machine, std::size_t Ahead = 0, class T>
[[gnu::always_inline]] inline T sum_all(const T* x, std::size_t n) {
  double rest = 0;
  if (n <= block_size<T>) return static_cast<T>(sum_of_line(sum_of_lines<Machine, Ahead>(x, n, rest)) + rest);
  line_total<T> all;
  for (; n >= block_size<T>; x += block_size<T>, n -= block_size<T>)
    all.add(sum_of_lines<Machine, Ahead>(x, block_size<T>, rest));
  if (n > 0) all.add(sum_of_lines<Machine>(x, n, rest));
  return static_cast<T>(all.of_lanes() + rest);
}

// What comes from memory is read in four places at once: the processor fetches ahead up to the end of a page, and where
// it reads one page after the other, it waits at each.
inline constexpr std::size_t streams = 4;
inline constexpr std::size_t streamed_sum = 8 << 20;  // bytes from which on that pays

// n elements of each stream, two lines at a time, at most sixteen times.
template <class Machine, class T>
[[gnu::always_inline]] inline void add_streams(const T* x, std::size_t n, std::ptrdiff_t apart,
                                               line_total<T> (&totals)[streams], double (&rests)[streams]) {
  using V = vec<T, Machine::bytes>;
  constexpr std::size_t width = line_size<T>, parts = line_parts<Machine>, lanes = width / parts;
  std::size_t i = 0;
  while (i + 2 * width <= n) {
    V a[streams][2 * parts] = {};
    for (std::size_t left = 16; left > 0 && i + 2 * width <= n; --left, i += 2 * width)
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 2 * parts; ++k)
#pragma GCC unroll 4
        for (std::size_t s = 0; s < streams; ++s)
          a[s][k] += load<V>(x + static_cast<std::ptrdiff_t>(s) * apart + i + k * lanes);
#pragma GCC unroll 4
    for (std::size_t s = 0; s < streams; ++s) {
#pragma GCC unroll 4
      for (std::size_t k = 0; k < parts; ++k) a[s][k] += a[s][parts + k];
      totals[s].add(load<line<T>>(a[s]));
    }
  }
  for (; i < n; ++i)
    for (std::size_t s = 0; s < streams; ++s) rests[s] += *(x + static_cast<std::ptrdiff_t>(s) * apart + i);
}

template <class Machine, class T>
T sum(const T* x, std::size_t n) {
  if (n < fetched_ahead / sizeof(T)) return sum_all<Machine>(x, n);
  if (n < streamed_sum / sizeof(T)) return sum_all<Machine, Machine::lines_ahead>(x, n);
  const std::size_t quarter = n / streams;
  line_total<T> totals[streams];
  double rests[streams] = {};
  add_streams<Machine>(x, quarter, static_cast<std::ptrdiff_t>(quarter), totals, rests);
  for (std::size_t i = streams * quarter; i < n; ++i) rests[0] += x[i];
  for (std::size_t s = 1; s < streams; ++s) {
    totals[0].add(totals[s]);
    rests[0] += rests[s];
  }
  return static_cast<T>(totals[0].of_lanes() + rests[0]);
}

struct sums_in_rows {
  template <class V>
  [[gnu::always_inline]] static V first(V v) {
    return V{} + v;
  }
  template <class V>
  [[gnu::always_inline]] static V combine(V a, V b) {
    return a + b;
  }
  template <class V, class B>
  [[gnu::always_inline]] static V last(V v, B lanes) {
    return (V)((B)v & lanes);
  }
};

template <class Machine, class T>
void sum_rows(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out) {
  constexpr std::size_t width = line_size<T>;
  std::size_t r = 0;
  for (; columns < width && r < rows; ++r, x += row_stride) {
    double sum = 0;
    for (std::size_t i = 0; i < columns; ++i) sum += x[i];
    out[r] = static_cast<T>(sum);
  }
  if (columns >= width && columns <= 16 * width) {
    const std::size_t done = reduce_short_rows<Machine, sums_in_rows>(x, rows, columns, row_stride, out);
    r += done;
    x += static_cast<std::ptrdiff_t>(done) * row_stride;
  }
  const std::size_t quarter = (rows - r) / streams;
  if (columns > 16 * width && quarter * streams * columns >= streamed_sum / sizeof(T)) {
    for (const std::size_t end = r + quarter; r < end; ++r, x += row_stride) {
      const std::ptrdiff_t apart = static_cast<std::ptrdiff_t>(quarter) * row_stride;
      line_total<T> totals[streams];
      double rests[streams] = {};
      add_streams<Machine>(x, columns, apart, totals, rests);
      for (std::size_t s = 0; s < streams; ++s) out[r + s * quarter] = static_cast<T>(totals[s].of_lanes() + rests[s]);
    }
    r += (streams - 1) * quarter;
    x += static_cast<std::ptrdiff_t>((streams - 1) * quarter) * row_stride;
  }
  if ((rows - r) * columns < fetched_ahead / sizeof(T))
    for (; r < rows; ++r, x += row_stride) out[r] = sum_all<Machine>(x, columns);
  else
    for (; r < rows; ++r, x += row_stride) out[r] = sum_all<Machine, Machine::lines_ahead>(x, columns);
}

// Columns are added up in groups of so many rows, or of so many in each of four places, before totals take them.
inline constexpr std::size_t group_rows = 64, place_rows = 32;

// The lines at x of `Rows` rows, added in pairs.
template <std::size_t Rows, class T>
[[gnu::always_inline]] inline line<T> sum_of_rows(const T* x, std::ptrdiff_t stride) {
  if constexpr (Rows == 1)
    return load<line<T>>(x);
  else
    return sum_of_rows<Rows / 2>(x, stride) +
           sum_of_rows<Rows / 2>(x + static_cast<std::ptrdiff_t>(Rows / 2) * stride, stride);
}

// Up to a group of rows, `Lines` lines side by side, whose sums stay in registers.
template <std::size_t Lines, class T>
[[gnu::always_inline]] inline void sum_strip(const T* x, std::size_t rows, std::ptrdiff_t stride, line<T>* sums) {
  line<T> a[Lines] = {};
  for (; rows >= 8; rows -= 8, x += 8 * stride)
    for (std::size_t k = 0; k < Lines; ++k) a[k] += sum_of_rows<8>(x + k * line_size<T>, stride);
  for (; rows > 0; --rows, x += stride)
    for (std::size_t k = 0; k < Lines; ++k) a[k] += load<line<T>>(x + k * line_size<T>);
  for (std::size_t k = 0; k < Lines; ++k) sums[k] = a[k];
}

// The sums of all rows of a matrix that is in a cache, strip by strip.
template <std::size_t Lines, class T>
[[gnu::always_inline]] inline void sum_strip_of_all(const T* x, std::size_t rows, std::ptrdiff_t stride, T* out) {
  line_total<T> totals[Lines];
  for (; rows > 0;) {
    const std::size_t group = rows < group_rows ? rows : group_rows;
    line<T> sums[Lines];
    sum_strip<Lines>(x, group, stride, sums);
    for (std::size_t k = 0; k < Lines; ++k) totals[k].add(sums[k]);
    rows -= group;
    x += static_cast<std::ptrdiff_t>(group) * stride;
  }
  for (std::size_t k = 0; k < Lines; ++k) store(out + k * line_size<T>, totals[k].value());
}

// Rows that follow each other, `lines` lines of them, each added to those of three more places: see add_streams().
template <class Machine, class T>
[[gnu::always_inline]] inline void sum_places(const T* x, std::size_t rows, std::size_t lines, std::ptrdiff_t stride,
                                              std::ptrdiff_t apart, line<T>* sums) {
  for (std::size_t k = 0; k < lines; ++k) sums[k] = line<T>{};
  for (; rows > 0; --rows, x += stride)
    for (std::size_t k = 0; k < lines; ++k) {
      const T* const from = x + k * line_size<T>;
      for (std::ptrdiff_t i = 0; i < 4; ++i) fetch_ahead<Machine::lines_ahead / 4>(from + i * apart);
      sums[k] += sum_of_rows<4>(from, apart);
    }
}

// Fewer columns than a line has, one by one: some rows of each, which stay in the first cache.
template <class T>
[[gnu::always_inline]] inline void sum_narrow(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t stride,
                                              T* out) {
  double sums[line_size<T>] = {}, errors[line_size<T>] = {};
  for (std::size_t group; rows > 0; rows -= group, x += static_cast<std::ptrdiff_t>(group) * stride) {
    group = rows < group_rows ? rows : group_rows;
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = sums[c], error = errors[c];
      const T* at = x + c;
      for (std::size_t r = 0; r < group; ++r, at += stride) {
        if constexpr (sizeof(T) == sizeof(double))
          sum = sum_and_error(sum, *at, error);
        else
          sum += *at;
      }
      sums[c] = sum;
      errors[c] = error;
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    const double error = errors[c];
    const bool is_finite = error - error == 0;  // NOLINT(misc-redundant-expression): that of an infinite sum is a NaN
    out[c] = static_cast<T>(is_finite ? sums[c] + error : sums[c]);
  }
}

// The same without gaps between the rows: so many lines as there are columns hold so many rows as a line has lanes, and
// in each of these lines a lane is of the same column every time.
template <class T>
[[gnu::always_inline]] inline void sum_narrow_without_gaps(const T* x, std::size_t rows, std::size_t columns, T* out) {
  constexpr std::size_t width = line_size<T>, most = 16;  // times that are added after each other
  if (rows < 4 * width) return sum_narrow(x, rows, columns, static_cast<std::ptrdiff_t>(columns), out);
  line_total<T> totals[width];
  for (std::size_t left = rows / width; left > 0;) {
    const std::size_t times = left < most ? left : most;
    line<T> sums[width];
    for (std::size_t k = 0; k < columns; ++k) sums[k] = line<T>{};
    for (std::size_t i = 0; i < times; ++i, x += columns * width)
      for (std::size_t k = 0; k < columns; ++k) sums[k] += load<line<T>>(x + k * width);
    for (std::size_t k = 0; k < columns; ++k) totals[k].add(sums[k]);
    left -= times;
  }
  // What they come to are so many rows again. The last ones, which fill no lines, follow them.
  T last[2 * width * width];
  for (std::size_t k = 0; k < columns; ++k) store(last + k * width, totals[k].value());
  __builtin_memcpy(last + columns * width, x, rows % width * columns * sizeof(T));
  sum_narrow(last, width + rows % width, columns, static_cast<std::ptrdiff_t>(columns), out);
}

// The last columns of rows of more than a line, which do not fill one: of a line that ends with the row.
template <class T>
[[gnu::always_inline]] inline void sum_last_columns(const T* end, std::size_t rows, std::size_t columns,
                                                    std::ptrdiff_t stride, T* out) {
  T sums[line_size<T>];
  sum_strip_of_all<1>(end - line_size<T>, rows, stride, sums);
  __builtin_memcpy(out, sums + line_size<T> - columns, columns * sizeof(T));
}

template <class Machine, class T>
void sum_columns(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out) {
  constexpr std::size_t width = line_size<T>;
  constexpr std::size_t chunk = 256;  // lines whose sums stay in the first cache
  std::size_t lines = columns / width;
  if (rows * columns <= (512 << 10) / sizeof(T)) {
    for (; lines >= 4; lines -= 4, x += 4 * width, out += 4 * width) sum_strip_of_all<4>(x, rows, row_stride, out);
    for (; lines > 0; --lines, x += width, out += width) sum_strip_of_all<1>(x, rows, row_stride, out);
  }
  while (lines > 0) {
    const std::size_t count = lines < chunk ? lines : chunk;
    line<T> sums[chunk];
    line_total<T> totals[chunk];
    const std::ptrdiff_t quarter = static_cast<std::ptrdiff_t>(rows / streams) * row_stride;
    const T* from = x;
    for (std::size_t left = rows / streams; left > 0;) {
      const std::size_t group = left < place_rows ? left : place_rows;
      sum_places<Machine>(from, group, count, row_stride, quarter, sums);
      for (std::size_t k = 0; k < count; ++k) totals[k].add(sums[k]);
      left -= group;
      from += static_cast<std::ptrdiff_t>(group) * row_stride;
    }
    from += static_cast<std::ptrdiff_t>(streams - 1) * quarter;
    for (std::size_t k = 0; rows % streams != 0 && k < count; ++k) {
      line<T> last{};
      for (std::size_t r = 0; r < rows % streams; ++r)
        last += load<line<T>>(from + static_cast<std::ptrdiff_t>(r) * row_stride + k * width);
      totals[k].add(last);
    }
    for (std::size_t k = 0; k < count; ++k) store(out + k * width, totals[k].value());
    lines -= count;
    x += count * width;
    out += count * width;
  }
  const std::size_t rest = columns % width;
  if (rest == 0) return;
  if (columns > width)
    sum_last_columns(x + rest, rows, rest, row_stride, out);
  else if (row_stride == static_cast<std::ptrdiff_t>(columns))
    sum_narrow_without_gaps(x, rows, columns, out);
  else
    sum_narrow(x, rows, columns, row_stride, out);
}

// --- maxima and minima ----------------------------------------------------------------------------------------------

// In each lane the larger or the smaller one; not-a-number if either is.
template <class Machine, bool Larger, class V>
[[gnu::always_inline]] inline V choose(V a, V b) {
  if constexpr (requires { Machine::larger(a, b); }) {
    return Larger ? Machine::larger(a, b) : Machine::smaller(a, b);
  } else {
    const V chosen = (Larger ? b > a : b < a) ? b : a;
    return b == b ? chosen : b;  // NOLINT(misc-redundant-expression): a NaN
  }
}

template <class Machine, bool Larger, std::size_t Size, class V>
[[gnu::always_inline]] inline auto choose_lane(V v) {
  if constexpr (Size == 1) {
    return v[0];
  } else {
    using half = std::make_index_sequence<Size / 2>;
    return choose_lane<Machine, Larger, Size / 2>(
        choose<Machine, Larger>(part_of<0>(v, half{}), part_of<Size / 2>(v, half{})));
  }
}

// Of a row of at least one element. What is left behind full vectors is looked at together with what is before it.
template <class Machine, bool Larger, std::size_t Bytes = Machine::bytes, class T>
[[gnu::always_inline]] inline T choose_of_row(const T* x, std::size_t n) {
  using V = vec<T, Bytes>;
  constexpr std::size_t width = Bytes / sizeof(T), at_once = 4;  // vectors, as each waits for the one before it
  if (n < width) {
    if constexpr (width > 4) {
      return choose_of_row<Machine, Larger, Bytes / 2>(x, n);
    } else {
      T chosen = x[0];
      for (std::size_t i = 1; i < n; ++i)
        chosen = choose<Machine, Larger>(vec<T, 16>{} + chosen, vec<T, 16>{} + x[i])[0];
      return chosen;
    }
  }
  V chosen = load<V>(x + n - width);
  std::size_t i = 0;
  if (n >= at_once * width) {
    V parts[at_once];
    for (std::size_t k = 0; k < at_once; ++k) parts[k] = load<V>(x + k * width);
    for (i = at_once * width; i + at_once * width <= n; i += at_once * width)
      for (std::size_t k = 0; k < at_once; ++k)
        parts[k] = choose<Machine, Larger>(parts[k], load<V>(x + i + k * width));
    for (std::size_t k = 0; k < at_once; k += 2) parts[k] = choose<Machine, Larger>(parts[k], parts[k + 1]);
    chosen = choose<Machine, Larger>(chosen, choose<Machine, Larger>(parts[0], parts[2]));
  }
  for (; i + width < n; i += width) chosen = choose<Machine, Larger>(chosen, load<V>(x + i));
  return choose_lane<Machine, Larger, width>(chosen);
}

template <class Machine, bool Larger>
struct choices_in_rows {
  template <class V>
  [[gnu::always_inline]] static V first(V v) {
    return v;
  }
  template <class V>
  [[gnu::always_inline]] static V combine(V a, V b) {
    return choose<Machine, Larger>(a, b);
  }
  template <class V, class B>
  [[gnu::always_inline]] static V last(V v, B) {  // that some elements are looked at twice changes nothing
    return v;
  }
};

template <class Machine, bool Larger, class T>
void choose_rows(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out) {
  std::size_t r = 0;
  if (columns >= line_size<T> && columns <= 16 * line_size<T>) {
    r = reduce_short_rows<Machine, choices_in_rows<Machine, Larger>>(x, rows, columns, row_stride, out);
    x += static_cast<std::ptrdiff_t>(r) * row_stride;
  }
  for (; r < rows; ++r, x += row_stride) out[r] = choose_of_row<Machine, Larger>(x, columns);
}

// --- transposing -----------------------------------------------------------------------------------------------------

// The low or the high halves of every 16 bytes of two vectors, element by element in turn.
template <bool High, class V, std::size_t... I>
[[gnu::always_inline]] inline V interleave(V a, V b, std::index_sequence<I...>) {
  constexpr std::size_t all = sizeof...(I), here = 16 * all / sizeof(V);  // elements of a vector, and of 16 bytes
  return __builtin_shufflevector(a, b, (I / here * here + I % here / 2 + (High ? here / 2 : 0) + (I % 2 ? all : 0))...);
}

// A square of as many elements as a register has, each side: first the squares of 16 bytes a side, within each 16
// bytes, and then 16 bytes as they are, which takes fewer registers than moving elements all over them. Each round
// rotates some bits of an element's place (row, column) by one; when they have changed places, so have rows and
// columns.
template <class E, std::size_t Bytes>
[[gnu::always_inline]] inline void transpose_square(const E* from, std::ptrdiff_t from_stride, E* to,
                                                    std::ptrdiff_t to_stride) {
  using V = vec<E, Bytes>;
  constexpr std::size_t n = Bytes / sizeof(E), here = 16 / sizeof(E), parts = Bytes / 16;
  using all = std::make_index_sequence<n>;
  V v[n], w[n];
  for (std::size_t i = 0; i < n; ++i) v[i] = load<V>(from + static_cast<std::ptrdiff_t>(i) * from_stride);
  for (std::size_t round = 1; round < here; round *= 2) {
    for (std::size_t p = 0; p < n; p += here)
      for (std::size_t i = 0; i < here / 2; ++i) {
        w[p + 2 * i] = interleave<false>(v[p + i], v[p + i + here / 2], all{});
        w[p + 2 * i + 1] = interleave<true>(v[p + i], v[p + i + here / 2], all{});
      }
    for (std::size_t i = 0; i < n; ++i) v[i] = w[i];
  }
  for (std::size_t round = 1; round < parts; round *= 2) {
    for (std::size_t p = 0; p < parts / 2; ++p)
      for (std::size_t i = 0; i < here; ++i) {
        const V even = v[2 * p * here + i], odd = v[(2 * p + 1) * here + i];
        w[p * here + i] = every_other_16_bytes<0>(even, odd, all{});
        w[(p + parts / 2) * here + i] = every_other_16_bytes<1>(even, odd, all{});
      }
    for (std::size_t i = 0; i < n; ++i) v[i] = w[i];
  }
  for (std::size_t i = 0; i < n; ++i) store(to + static_cast<std::ptrdiff_t>(i) * to_stride, v[i]);
}

// A square whose side is a cache line.
template <class Machine, class E>
[[gnu::always_inline]] inline void transpose_lines(const E* from, std::ptrdiff_t from_stride, E* to,
                                                   std::ptrdiff_t to_stride) {
  constexpr std::size_t side = 64 / sizeof(E);
  constexpr std::size_t bytes = sizeof(E) < 4 ? 16 : Machine::bytes;
  constexpr std::size_t step = bytes / sizeof(E);
  for (std::size_t r = 0; r < side; r += step)
    for (std::size_t c = 0; c < side; c += step)
      transpose_square<E, bytes>(from + static_cast<std::ptrdiff_t>(r) * from_stride + c, from_stride,
                                 to + static_cast<std::ptrdiff_t>(c) * to_stride + r, to_stride);
}

// The same past the caches. What comes two squares later is fetched now: the processor does not guess it.
template <class Machine, class E>
[[gnu::always_inline]] inline void stream_square(const E* from, std::ptrdiff_t from_stride, E* to,
                                                 std::ptrdiff_t to_stride) {
  constexpr std::ptrdiff_t side = 64 / sizeof(E);
  alignas(64) E square[side * side];
  const std::uintptr_t later = reinterpret_cast<std::uintptr_t>(from) + 2 * 64;
  for (std::ptrdiff_t r = 0; r < side; ++r)
    __builtin_prefetch(reinterpret_cast<const void*>(later + static_cast<std::uintptr_t>(r * from_stride) * sizeof(E)));
  transpose_lines<Machine>(from, from_stride, square, side);
  for (std::ptrdiff_t r = 0; r < side; ++r) Machine::stream(to + r * to_stride, square + r * side);
}

template <class E>
[[gnu::always_inline]] inline void transpose_simply(const E* from, std::size_t rows, std::size_t columns,
                                                    std::ptrdiff_t from_stride, E* to, std::ptrdiff_t to_stride) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      to[static_cast<std::ptrdiff_t>(c) * to_stride + static_cast<std::ptrdiff_t>(r)] =
          from[static_cast<std::ptrdiff_t>(r) * from_stride + static_cast<std::ptrdiff_t>(c)];
}

inline constexpr std::size_t streamed_bytes = 1 << 20;  // from here on a matrix is written past the caches

template <class Machine, class E>
void copy_transposed(const void* from_memory, std::size_t rows, std::size_t columns, std::ptrdiff_t from_stride,
                     void* to_memory, std::ptrdiff_t to_stride) {
  constexpr std::size_t side = 64 / sizeof(E);
  const E* from = static_cast<const E*>(from_memory);
  E* to = static_cast<E*>(to_memory);
  if (rows < side || columns < side) return transpose_simply(from, rows, columns, from_stride, to, to_stride);
  const bool stream =
      rows * columns >= streamed_bytes / sizeof(E) && to_stride % static_cast<std::ptrdiff_t>(side) == 0;
  if (stream) {  // the lines of the target begin where the memory's do
    const std::size_t before = (-reinterpret_cast<std::uintptr_t>(to) & 63) / sizeof(E);
    transpose_simply(from, before, columns, from_stride, to, to_stride);
    from += static_cast<std::ptrdiff_t>(before) * from_stride;
    to += before;
    rows -= before;
  }
  for (std::size_t band; rows >= side;
       rows -= band, from += static_cast<std::ptrdiff_t>(band) * from_stride, to += band) {
    band = rows < 32 * side ? rows / side * side : 32 * side;
    std::size_t c = 0;
    for (; c + side <= columns; c += side)
      for (std::size_t r = 0; r < band; r += side) {
        const E* const square = from + static_cast<std::ptrdiff_t>(r) * from_stride + static_cast<std::ptrdiff_t>(c);
        E* const turned = to + static_cast<std::ptrdiff_t>(c) * to_stride + static_cast<std::ptrdiff_t>(r);
        if (stream)
          stream_square<Machine>(square, from_stride, turned, to_stride);
        else
          transpose_lines<Machine>(square, from_stride, turned, to_stride);
      }
    transpose_simply(from + c, band, columns - c, from_stride, to + static_cast<std::ptrdiff_t>(c) * to_stride,
                     to_stride);
  }
  transpose_simply(from, rows, columns, from_stride, to, to_stride);
  if (stream) Machine::stream_end();
}

// --- the table -------------------------------------------------------------------------------------------------------

// Of a processor that brings into its first cache by itself what is read in turn.
template <class Machine>
struct without_fetching : Machine {
  static constexpr std::size_t lines_ahead = 0;
};

template <class Machine, class T>
inline constexpr sums_of<T> sums_for = {sum<Machine, T>, sum_rows<Machine, T>, sum_columns<Machine, T>};
template <class Machine, class T>
inline constexpr kernels_of<T> kernels_for = {sums_for<Machine, T>, exp<Machine, T>, log<Machine, T>,
                                              choose_rows<Machine, true, T>, choose_rows<Machine, false, T>};

template <class Machine>
inline constexpr sum_table sums_without_fetching = {sums_for<without_fetching<Machine>, float>,
                                                    sums_for<without_fetching<Machine>, double>};

template <class Machine>
constexpr kernel_table table_of(const char* name) {
  return {name,
          kernels_for<Machine, float>,
          kernels_for<Machine, double>,
          copy_transposed<Machine, std::uint8_t>,
          copy_transposed<Machine, std::uint16_t>,
          copy_transposed<Machine, std::uint32_t>,
          copy_transposed<Machine, std::uint64_t>,
          Machine::stream_end};
}

}  // namespace
}  // namespace buffers::detail
