// x86-64-v3: 256 bits and fused multiply-add.
#include <immintrin.h>

#include "body.h"

namespace buffers::detail {
namespace {

struct avx2 {
  static constexpr std::size_t bytes = 32, lines_ahead = 48;
  using floats = vec<float, bytes>;
  using doubles = vec<double, bytes>;
  static inline floats fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
  static inline doubles fma(doubles a, doubles b, doubles c) { return _mm256_fmadd_pd(a, b, c); }
  static inline floats scale(floats a, floats n) { return scale_in_two_steps<float, bytes>(a, n); }
  static inline doubles scale(doubles a, doubles n) { return scale_in_two_steps<double, bytes>(a, n); }
  static inline bool any(vec<std::int32_t, bytes> mask) { return _mm256_movemask_ps((__m256)mask) != 0; }
  static inline bool any(vec<std::int64_t, bytes> mask) { return _mm256_movemask_pd((__m256d)mask) != 0; }
  static inline void stream(void* to, const void* line) {
    const __m256i* const from = static_cast<const __m256i*>(line);
    for (int i = 0; i < 2; ++i) _mm256_stream_si256(static_cast<__m256i*>(to) + i, _mm256_loadu_si256(from + i));
  }
  static inline void stream_end() { _mm_sfence(); }
};

}  // namespace

constinit const kernel_table kernels_avx2 = table_of<avx2>("x86-64-v3");
constinit const sum_table sums_without_fetching_avx2 = sums_without_fetching<avx2>;

}  // namespace buffers::detail
