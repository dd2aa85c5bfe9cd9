module;
#include <cstddef>

extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(const volatile void*, std::size_t);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void*, std::size_t);
[[gnu::weak]] int __asan_address_is_poisoned(const volatile void*);
}
module buffers.core;

namespace buffers::detail {

void poison_in_program(const volatile void* first, std::size_t bytes) noexcept {
  if (__asan_poison_memory_region) __asan_poison_memory_region(first, bytes);
}

void unpoison_in_program(const volatile void* first, std::size_t bytes) noexcept {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(first, bytes);
}

bool is_sanitized() noexcept { return __asan_poison_memory_region != nullptr; }

bool is_poisoned(const volatile void* byte) noexcept {
  return __asan_address_is_poisoned && __asan_address_is_poisoned(byte) != 0;
}

}  // namespace buffers::detail
