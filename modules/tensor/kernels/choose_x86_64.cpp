#include "table.h"

namespace buffers::detail {
namespace {

template <class T>
void use_sums(kernels_of<T>& kernels, const sums_of<T>& rows, const sums_of<T>& columns) noexcept {
  kernels.sum = rows.sum;
  kernels.sum_rows = rows.sum_rows;
  kernels.sum_columns = columns.sum_columns;
}

// Zen 4 takes 512 bits in two halves: it computes faster with them, but reads from one place faster by 256 bits. It
// fetches into its first cache by itself: asking costs a quarter. All add in the same order.
kernel_table for_zen4() noexcept {
  kernel_table table = kernels_avx512;
  table.name = "Zen 4: x86-64-v4, sums of rows of v3";
  use_sums(table.floats, sums_without_fetching_avx2.floats, sums_without_fetching_avx512.floats);
  use_sums(table.doubles, sums_without_fetching_avx2.doubles, sums_without_fetching_avx512.doubles);
  return table;
}

}  // namespace

kernel_choice choose_kernels() noexcept {
  __builtin_cpu_init();
  kernel_choice choice{};
  const auto add = [&](const kernel_table& table) { choice.tables[choice.count++] = &table; };
  if (__builtin_cpu_supports("x86-64-v4")) {
    // By its family: Zen 3, the other one of it, has no 512 bits, and run-time libraries of before 2023 know no more.
    if (static const kernel_table zen4 = for_zen4(); __builtin_cpu_is("amdfam19h")) add(zen4);
    add(kernels_avx512);
  }
  if (__builtin_cpu_supports("x86-64-v3")) add(kernels_avx2);
  add(kernels_baseline);
  return choice;
}

}  // namespace buffers::detail
