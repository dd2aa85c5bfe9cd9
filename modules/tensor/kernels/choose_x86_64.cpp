#include "table.h"

namespace buffers::detail {
namespace {

// Zen 4 takes 512 bits in two halves: it computes faster with them, but reads memory faster by 256 bits. All add in the
// same order.
kernel_table for_zen4() noexcept {
  kernel_table table = kernels_avx512;
  table.name = "Zen 4: x86-64-v4, sums of v3";
  table.floats.sum = kernels_avx2.floats.sum;
  table.floats.sum_rows = kernels_avx2.floats.sum_rows;
  table.doubles.sum = kernels_avx2.doubles.sum;
  table.doubles.sum_rows = kernels_avx2.doubles.sum_rows;
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
