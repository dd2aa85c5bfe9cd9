// What the kernels are for one kind of processor. Each kind is a file of its own, compiled with the flags of that kind:
// no function that another file could share may be defined in them, or the linker might keep the one with the wrong
// instructions. So all is in unnamed namespaces, and the standard library is left out.
#pragma once
#include <cstddef>

namespace buffers::detail {

template <class T>
struct sums_of {
  T (*sum)(const T* x, std::size_t n);
  void (*sum_rows)(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out);
  void (*sum_columns)(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out);
};
template <class T>
struct kernels_of : sums_of<T> {
  void (*exp)(const T* x, T* y, std::size_t n, bool past_caches);
  void (*log)(const T* x, T* y, std::size_t n, bool past_caches);
  void (*max_rows)(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out);
  void (*min_rows)(const T* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, T* out);
};

using transpose_kernel = void (*)(const void* from, std::size_t rows, std::size_t columns, std::ptrdiff_t from_stride,
                                  void* to, std::ptrdiff_t to_stride);

struct kernel_table {
  const char* name;
  kernels_of<float> floats;
  kernels_of<double> doubles;
  transpose_kernel transpose1, transpose2, transpose4, transpose8;  // by the bytes of an element
  void (*stream_end)();
};

struct sum_table {
  sums_of<float> floats;
  sums_of<double> doubles;
};

extern const kernel_table kernels_baseline;         // whatever the library is compiled for
extern const kernel_table kernels_avx2;             // x86-64-v3: 256 bits, fused multiply-add
extern const kernel_table kernels_avx512;           // x86-64-v4: 512 bits
extern const sum_table sums_without_fetching_avx2;  // for processors that bring near by themselves what sums read
extern const sum_table sums_without_fetching_avx512;

/// All that this processor can run, the fastest first, and their number.
struct kernel_choice {
  const kernel_table* tables[4];
  int count;
};
[[nodiscard]] kernel_choice choose_kernels() noexcept;

}  // namespace buffers::detail
