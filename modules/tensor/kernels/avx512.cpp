// x86-64-v4: 512 bits.
#include <immintrin.h>

#include "body.h"

namespace buffers::detail {
namespace {

struct avx512 {
  static constexpr std::size_t bytes = 64, lines_ahead = 48;
  using floats = vec<float, bytes>;
  using doubles = vec<double, bytes>;
  static inline floats fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
  static inline doubles fma(doubles a, doubles b, doubles c) { return _mm512_fmadd_pd(a, b, c); }
  static inline floats larger(floats a, floats b) {
    return _mm512_mask_max_ps(b, _mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), b, a);
  }
  static inline doubles larger(doubles a, doubles b) {
    return _mm512_mask_max_pd(b, _mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), b, a);
  }
  static inline floats smaller(floats a, floats b) {
    return _mm512_mask_min_ps(b, _mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), b, a);
  }
  static inline doubles smaller(doubles a, doubles b) {
    return _mm512_mask_min_pd(b, _mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), b, a);
  }
  static inline floats scale(floats a, floats n) { return _mm512_scalef_ps(a, n); }
  static inline doubles scale(doubles a, doubles n) { return _mm512_scalef_pd(a, n); }
  static inline bool any(vec<std::int32_t, bytes> mask) { return _mm512_movepi32_mask((__m512i)mask) != 0; }
  static inline bool any(vec<std::int64_t, bytes> mask) { return _mm512_movepi64_mask((__m512i)mask) != 0; }
  static inline void stream(void* to, const void* line) {
    _mm512_stream_si512(static_cast<__m512i*>(to), _mm512_loadu_si512(line));
  }
  static inline void stream_end() { _mm_sfence(); }
};

}  // namespace

constinit const kernel_table kernels_avx512 = table_of<avx512>("x86-64-v4");
constinit const sum_table sums_without_fetching_avx512 = sums_without_fetching<avx512>;

}  // namespace buffers::detail
