module;
#include <cstddef>
#if BUFFERS_HARDENED && __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else  // not hardened, or Valgrind's header was not there when the library was built
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_MAKE_MEM_NOACCESS(first, bytes) 0
#define VALGRIND_MAKE_MEM_DEFINED(first, bytes) 0
#define VALGRIND_DISABLE_ERROR_REPORTING static_cast<void>(0)
#define VALGRIND_ENABLE_ERROR_REPORTING static_cast<void>(0)
#endif
module buffers.core;

// The runtime's functions under names of our own: in a build with AddressSanitizer the interface has declared them too,
// as never missing.
extern "C" {
[[gnu::weak]] void buffers_asan_poison(const volatile void*, std::size_t) __asm__("__asan_poison_memory_region");
[[gnu::weak]] void buffers_asan_unpoison(const volatile void*, std::size_t) __asm__("__asan_unpoison_memory_region");
[[gnu::weak]] int buffers_asan_is_poisoned(const volatile void*) __asm__("__asan_address_is_poisoned");
}

namespace buffers::detail {

void poison_in_program(const volatile void* first, std::size_t bytes) noexcept {
  if (buffers_asan_poison) buffers_asan_poison(first, bytes);
  static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(first, bytes));
}

constinit const bool library_is_sanitized = address_sanitizer;
constinit void (*const asan_unpoison)(const volatile void*, std::size_t) = buffers_asan_unpoison;

void unpoison_in_program(const volatile void* first, std::size_t bytes) noexcept {
  if (buffers_asan_unpoison) buffers_asan_unpoison(first, bytes);
  static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(first, bytes));
}

namespace {

struct streaming_loop {
  typedef float lanes __attribute__((vector_size(32), may_alias));
  lanes* to;
  const lanes* from;
  std::size_t count;

  [[gnu::always_inline]] inline void operator()() const {
    const streaming_loop here = *this;  // which no store changes
    for (std::size_t i = 0; i < here.count; ++i) {
#if defined(__x86_64__) && defined(__clang__)
      __builtin_nontemporal_store(here.from[i], here.to + i);
#elif defined(__x86_64__)
      typedef float half __attribute__((vector_size(16), may_alias));
      const auto* const halves = reinterpret_cast<const half*>(here.from + i);
      auto* const out = reinterpret_cast<float*>(here.to + i);
      __builtin_ia32_movntps(out, halves[0]);
      __builtin_ia32_movntps(out + 4, halves[1]);
#else
      here.to[i] = here.from[i];
#endif
    }
  }
};

}  // namespace

void store_past_caches(void* to, const void* lines, std::size_t bytes) noexcept {
  using lanes = streaming_loop::lanes;
  run_loop(streaming_loop{static_cast<lanes*>(to), static_cast<const lanes*>(lines), bytes / sizeof(lanes)});
}

void unwatched::begin() noexcept { VALGRIND_DISABLE_ERROR_REPORTING; }
void unwatched::end() noexcept { VALGRIND_ENABLE_ERROR_REPORTING; }

bool is_watched() noexcept { return is_sanitized() || RUNNING_ON_VALGRIND != 0; }

bool is_sanitized() noexcept { return buffers_asan_poison != nullptr; }

bool is_poisoned(const volatile void* byte) noexcept {
  return buffers_asan_is_poisoned && buffers_asan_is_poisoned(byte) != 0;
}

}  // namespace buffers::detail
