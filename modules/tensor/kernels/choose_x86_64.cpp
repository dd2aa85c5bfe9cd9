#include "table.h"

namespace buffers::detail {

kernel_choice choose_kernels() noexcept {
  __builtin_cpu_init();
  kernel_choice choice{};
  const auto add = [&](const kernel_table& table) { choice.tables[choice.count++] = &table; };
  if (__builtin_cpu_supports("x86-64-v4")) add(kernels_avx512);
  if (__builtin_cpu_supports("x86-64-v3")) add(kernels_avx2);
  add(kernels_baseline);
  return choice;
}

}  // namespace buffers::detail
